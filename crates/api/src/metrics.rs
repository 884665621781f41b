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

/// The `endpoint` of requests that no route answers.
pub const UNMATCHED: &str = "unmatched";

/// Nginx's status for "the client went away before the answer"; never sent, only counted and logged.
pub(crate) const CLIENT_CLOSED_REQUEST: u16 = 499;

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"];

/// The place of a method in [`METHODS`]; anybody can invent methods, so the rest are `OTHER`.
fn method_index(method: &Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1)
}

/// The gauge of requests in flight.
pub(crate) fn in_flight() -> Gauge {
    metrics::describe_gauge!(IN_FLIGHT, "Requests that are being answered");
    metrics::gauge!(IN_FLIGHT)
}

/// The series of one route. A worker has its own, since handles are cheap to keep and dear to look up.
pub(crate) struct EndpointMetrics {
    pattern: &'static str,
    methods: [RefCell<Option<MethodMetrics>>; METHODS.len()],
}

struct MethodMetrics {
    duration: Histogram,
    /// A route answers a handful of statuses: a list is faster than a map.
    requests: Vec<(u16, Counter)>,
}

impl EndpointMetrics {
    /// The series of the route `pattern`, those of the given methods and status present from now on.
    pub(crate) fn new<'a>(
        pattern: &'static str,
        known: impl IntoIterator<Item = (&'a Method, StatusCode)>,
    ) -> Rc<Self> {
        metrics::describe_counter!(REQUESTS, "Requests answered");
        metrics::describe_histogram!(DURATION, Unit::Seconds, "From a request's head to the end of its answer");
        let endpoint = Self { pattern, methods: [const { RefCell::new(None) }; METHODS.len()] };
        for (method, status) in known {
            endpoint.with(method, |name, series| {
                series.counter(name, pattern, status.as_u16());
            });
        }
        Rc::new(endpoint)
    }

    /// The route pattern, the value of the `endpoint` label.
    pub(crate) fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// Counts an answer.
    pub(crate) fn record(&self, method: &Method, status: u16, duration: Duration) {
        self.with(method, |name, series| {
            series.duration.record(duration);
            series.counter(name, self.pattern, status).increment(1);
        });
    }

    fn with(&self, method: &Method, work: impl FnOnce(&'static str, &mut MethodMetrics)) {
        let index = method_index(method);
        let name = METHODS[index];
        let mut slot = self.methods[index].borrow_mut();
        let series = slot.get_or_insert_with(|| MethodMetrics {
            duration: metrics::histogram!(DURATION, "method" => name, "endpoint" => self.pattern),
            requests: Vec::new(),
        });
        work(name, series);
    }
}

impl MethodMetrics {
    fn counter(&mut self, method: &'static str, endpoint: &'static str, status: u16) -> &Counter {
        let known = self.requests.iter().position(|(known, _)| *known == status);
        let index = known.unwrap_or_else(|| {
            let counter = metrics::counter!(
                REQUESTS,
                "method" => method, "endpoint" => endpoint, "status" => status.to_string()
            );
            self.requests.push((status, counter));
            self.requests.len() - 1
        });
        &self.requests[index].1
    }
}
