//! The names of this crate's metrics, and the handles that are kept because their labels are known.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use crate::Statistics;

/// Gauge by `state` (`active`: checked out; `idle`).
pub const CONNECTIONS: &str = "parlant_database_connections";
/// Gauge: the most connections that the pool may hold.
pub const CONNECTIONS_MAX: &str = "parlant_database_connections_max";
/// Gauge: callers that wait because all connections are in use.
pub const POOL_WAITING: &str = "parlant_database_pool_waiting";
/// Histogram, in seconds: how long a caller waited for a connection.
pub const POOL_WAIT_SECONDS: &str = "parlant_database_pool_wait_seconds";
/// Histogram by `query` (the function's name), in seconds: one statement, its answer read.
pub const QUERY_DURATION_SECONDS: &str = "parlant_database_query_duration_seconds";
/// Counter: callers that got no connection in time.
pub const POOL_TIMEOUTS: &str = "parlant_database_pool_timeouts_total";

/// Handles are made with the pool: install the recorder first.
pub(crate) struct Metrics {
    active: Gauge,
    idle: Gauge,
    max: Gauge,
    waiting: Gauge,
    wait: Histogram,
    timeouts: Counter,
    queries: RwLock<HashMap<&'static str, Histogram>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let timeouts = metrics::counter!(POOL_TIMEOUTS);
        // Shows the series as 0 before the first timeout.
        timeouts.increment(0);
        Self {
            active: metrics::gauge!(CONNECTIONS, "state" => "active"),
            idle: metrics::gauge!(CONNECTIONS, "state" => "idle"),
            max: metrics::gauge!(CONNECTIONS_MAX),
            waiting: metrics::gauge!(POOL_WAITING),
            wait: metrics::histogram!(POOL_WAIT_SECONDS),
            timeouts,
            queries: RwLock::default(),
        }
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.wait.record(time.as_secs_f64());
    }

    pub(crate) fn timed_out(&self) {
        self.timeouts.increment(1);
    }

    pub(crate) fn queried(&self, query: &'static str, time: Duration) {
        let seconds = time.as_secs_f64();
        let known = self.queries.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = known.get(query) {
            return histogram.record(seconds);
        }
        drop(known);
        let histogram = metrics::histogram!(QUERY_DURATION_SECONDS, "query" => query);
        histogram.record(seconds);
        let mut known = self.queries.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(query, histogram);
    }

    pub(crate) fn sample(&self, statistics: Statistics) {
        self.active.set(statistics.active as f64);
        self.idle.set(statistics.idle as f64);
        self.max.set(statistics.max as f64);
        self.waiting.set(statistics.waiting as f64);
    }
}
