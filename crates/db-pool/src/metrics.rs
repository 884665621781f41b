//! The names of this crate's metrics, and the handles that are kept because their labels are known.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, describe_counter, describe_gauge, describe_histogram};

use crate::{Query, Statistics};

/// Gauge by `state` (`active`: checked out; `idle`). This and the other gauges also have the label `pool` for a pool
/// that has a [name](crate::Config::name).
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
    pub(crate) fn new(pool: Option<&'static str>, max: usize) -> Self {
        describe_gauge!(CONNECTIONS, "Connections to the database.");
        describe_gauge!(CONNECTIONS_MAX, "Most connections that the pool may hold.");
        describe_gauge!(POOL_WAITING, "Callers that wait because all connections are in use.");
        describe_histogram!(POOL_WAIT_SECONDS, "Waits for a connection.");
        describe_histogram!(QUERY_DURATION_SECONDS, "Statements, their answers read.");
        describe_counter!(POOL_TIMEOUTS, "Callers that got no connection in time.");
        let labels: Vec<_> = pool.map(|name| Label::from_static_parts("pool", name)).into_iter().collect();
        let connections = |state: &'static str| {
            let state = Label::from_static_parts("state", state);
            metrics::gauge!(CONNECTIONS, [&labels[..], &[state]].concat())
        };
        let metrics = Self {
            active: connections("active"),
            idle: connections("idle"),
            max: metrics::gauge!(CONNECTIONS_MAX, labels.clone()),
            waiting: metrics::gauge!(POOL_WAITING, labels.clone()),
            wait: metrics::histogram!(POOL_WAIT_SECONDS),
            timeouts: metrics::counter!(POOL_TIMEOUTS),
            queries: RwLock::default(),
        };
        metrics.max.set(max as f64);
        metrics
    }

    /// Shows the statements' series before the first of them has run.
    pub(crate) fn announce(&self, queries: &[&Query]) {
        let mut known = self.queries.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(queries.iter().map(|query| (query.name, duration(query.name))));
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
        let histogram = duration(query);
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

fn duration(query: &'static str) -> Histogram {
    metrics::histogram!(QUERY_DURATION_SECONDS, "query" => query)
}
