//! The numbers that the client counts, through the `metrics` facade. Install the recorder first.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};

use crate::{Cause, Error};

/// Counter by `outcome`: requests to the engine that were answered (`ok`, an empty poll too), `not_found`, `rejected`,
/// `failed` (an answer that says nothing about the request, such as 500) and `unreachable` (no answer, or not in time).
pub const REQUESTS: &str = "parlant_engine_requests_total";
/// Histogram, in seconds: requests that are no polls. A poll lasts as long as nothing happens.
pub const REQUEST_DURATION_SECONDS: &str = "parlant_engine_request_duration_seconds";

/// Every series is there as 0 from the start.
pub(crate) struct Metrics {
    ok: Counter,
    not_found: Counter,
    rejected: Counter,
    failed: Counter,
    unreachable: Counter,
    duration: Histogram,
}

impl Metrics {
    pub(crate) fn register() -> Self {
        describe_counter!(REQUESTS, "Requests to the engine.");
        describe_histogram!(REQUEST_DURATION_SECONDS, "Requests to the engine, polls left out.");
        let requests = |outcome: &'static str| counter!(REQUESTS, "outcome" => outcome);
        Self {
            ok: requests("ok"),
            not_found: requests("not_found"),
            rejected: requests("rejected"),
            failed: requests("failed"),
            unreachable: requests("unreachable"),
            duration: histogram!(REQUEST_DURATION_SECONDS),
        }
    }

    pub(crate) fn took(&self, time: Duration) {
        self.duration.record(time.as_secs_f64());
    }

    pub(crate) fn ended<T>(&self, result: &Result<T, Error>) {
        let counter = match result {
            Ok(_) => &self.ok,
            Err(Error::NotFound) => &self.not_found,
            Err(Error::Rejected { .. }) => &self.rejected,
            Err(Error::Unreachable(Cause::Connection(_) | Cause::Timeout)) => &self.unreachable,
            Err(Error::Unreachable(_)) => &self.failed,
        };
        counter.increment(1);
    }
}
