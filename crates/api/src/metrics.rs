//! The HTTP metrics, and the handles that count them without a look-up.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, Unit};

/// Requests answered, by method, route pattern and status code.
pub const REQUESTS: &str = "parlant_http_requests_total";
/// Seconds from a request's head to the end of its answer, by method and route pattern.
pub const DURATION: &str = "parlant_http_request_duration_seconds";
/// Requests that are being answered.
pub const IN_FLIGHT: &str = "parlant_http_requests_in_flight";
/// Requests refused with 429 and `RATE_LIMIT_EXCEEDED`, by `reason`, which is what was used up: `credential` and
/// `address` (how much each may ask), `invalid_tokens` (how many bad credentials an address may present).
pub const RATE_LIMITED: &str = "parlant_rate_limited_total";

/// Streams that are open, by kind: `sse`, `websocket`.
pub const LIVE_STREAMS: &str = "parlant_live_streams";
/// Streams cut because the client did not read what it was sent, by kind.
pub const SLOW_READERS: &str = "parlant_live_slow_readers_total";

/// The `endpoint` of requests that no route answers.
pub const UNMATCHED: &str = "unmatched";

/// Nginx's status for "the client went away before the answer"; never sent, only counted and logged.
pub(crate) const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The statuses that routes have in common, beside the one of success. Their series exist before the first such
/// answer: Prometheus would not see the step from nothing to 1.
const COMMON: [u16; 8] = [400, 401, 403, 404, 429, CLIENT_CLOSED_REQUEST, 500, 503];

/// The methods that there are.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// The `method` of requests with one that the route does not answer: anybody can invent methods.
const OTHER: &str = "OTHER";

/// The gauge of requests in flight.
pub(crate) fn in_flight() -> Gauge {
    metrics::describe_gauge!(IN_FLIGHT, "Requests that are being answered.");
    metrics::gauge!(IN_FLIGHT)
}

/// The gauge of open streams of a kind.
pub(crate) fn live_streams(kind: &'static str) -> Gauge {
    metrics::describe_gauge!(LIVE_STREAMS, "Streams that are open.");
    metrics::gauge!(LIVE_STREAMS, "kind" => kind)
}

/// The counter of streams of a kind whose client did not read.
pub(crate) fn slow_readers(kind: &'static str) -> Counter {
    metrics::describe_counter!(SLOW_READERS, "Streams cut because the client did not read.");
    metrics::counter!(SLOW_READERS, "kind" => kind)
}

/// The series of one route. A worker has its own, since handles are cheap to keep and dear to look up.
pub(crate) struct EndpointMetrics {
    pattern: &'static str,
    /// Those that the route answers, and at last [`OTHER`].
    methods: Vec<MethodMetrics>,
}

struct MethodMetrics {
    method: String,
    /// None where an answer lasts as long as somebody listens.
    duration: Option<Histogram>,
    /// A route answers a handful of statuses: a list is faster than a map.
    requests: RefCell<Vec<(u16, Counter)>>,
}

impl EndpointMetrics {
    /// The series of the route `pattern`, which answers the given methods, with these statuses when all is well; and
    /// how long answers take, if they are `timed`.
    pub(crate) fn new(pattern: &'static str, known: &[(Method, StatusCode)], timed: bool) -> Rc<Self> {
        let known = known.iter().map(|(method, success)| {
            let statuses = [&[success.as_u16()], &COMMON[..]].concat();
            MethodMetrics::new(pattern, method.as_str(), &statuses, timed)
        });
        let other = MethodMetrics::new(pattern, OTHER, &[StatusCode::METHOD_NOT_ALLOWED.as_u16()], timed);
        Rc::new(Self { pattern, methods: known.chain([other]).collect() })
    }

    /// The series of the requests that no route answers.
    pub(crate) fn unmatched() -> Rc<Self> {
        metrics::describe_counter!(REQUESTS, "Requests answered.");
        metrics::describe_histogram!(DURATION, Unit::Seconds, "From a request's head to the end of its answer.");
        let methods = METHODS.iter().map(Method::as_str).chain([OTHER]);
        let statuses = [StatusCode::NOT_FOUND.as_u16()];
        let methods = methods.map(|method| MethodMetrics::new(UNMATCHED, method, &statuses, true));
        Rc::new(Self { pattern: UNMATCHED, methods: methods.collect() })
    }

    /// The route pattern, the value of the `endpoint` label.
    pub(crate) fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// Counts an answer.
    pub(crate) fn record(&self, method: &Method, status: u16, duration: Duration) {
        let known = self.methods.iter().find(|known| known.method == method.as_str());
        if let Some(method) = known.or(self.methods.last()) {
            if let Some(histogram) = &method.duration {
                histogram.record(duration);
            }
            method.count(self.pattern, status);
        }
    }
}

impl MethodMetrics {
    fn new(pattern: &'static str, method: &str, statuses: &[u16], timed: bool) -> Self {
        let requests = statuses.iter().map(|&status| (status, counter(pattern, method, status)));
        Self {
            method: method.to_owned(),
            duration: timed
                .then(|| metrics::histogram!(DURATION, "method" => method.to_owned(), "endpoint" => pattern)),
            requests: RefCell::new(requests.collect()),
        }
    }

    fn count(&self, pattern: &'static str, status: u16) {
        let mut requests = self.requests.borrow_mut();
        let known = requests.iter().position(|(known, _)| *known == status);
        let index = known.unwrap_or_else(|| {
            requests.push((status, counter(pattern, &self.method, status)));
            requests.len() - 1
        });
        requests[index].1.increment(1);
    }
}

fn counter(endpoint: &'static str, method: &str, status: u16) -> Counter {
    metrics::counter!(
        REQUESTS,
        "method" => method.to_owned(), "endpoint" => endpoint, "status" => status.to_string()
    )
}
