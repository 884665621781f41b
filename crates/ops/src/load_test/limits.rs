use std::time::Duration;

use serde::Serialize;

use super::record::Tally;

/// What has to hold, for each scenario by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// For half of the requests.
    pub max_p50: Option<Duration>,
    /// For 95 % of them.
    pub max_p95: Option<Duration>,
    /// For 99 % of them.
    pub max_p99: Option<Duration>,
    /// For 99.9 % of them.
    pub max_p99_9: Option<Duration>,
    /// Share of the requests that were due: those that failed, had an unexpected status or could not be sent.
    pub max_error_rate: Option<f64>,
    /// Good answers a second.
    pub min_rate: Option<f64>,
}

/// What became of one limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Which scenario.
    pub scenario: String,
    /// `max_p50_seconds`, `max_p95_seconds`, `max_p99_seconds`, `max_p99_9_seconds`, `max_error_rate` or `min_rate`.
    pub limit: &'static str,
    /// What had to hold.
    pub wanted: f64,
    /// What was measured; none for a percentile that is beyond all that was measured.
    pub measured: Option<f64>,
    /// Whether it held.
    pub met: bool,
}

impl Limits {
    /// Judges a scenario by what was taken down and by its good answers a second. A request that was not sent, or not
    /// finished, is slower than any limit. Without any request, nothing is met.
    pub(super) fn judge(&self, scenario: &str, tally: &Tally, rate: f64) -> Vec<Verdict> {
        let missing = tally.unsent() + tally.unfinished;
        let percentile = |limit, wanted: Option<Duration>, quantile| {
            wanted.map(|wanted| {
                (limit, wanted.as_secs_f64(), tally.latency.quantile(quantile, missing), f64::le as Holds)
            })
        };
        let error_rate = tally.error_rate();
        let judged = [
            percentile("max_p50_seconds", self.max_p50, 0.5),
            percentile("max_p95_seconds", self.max_p95, 0.95),
            percentile("max_p99_seconds", self.max_p99, 0.99),
            percentile("max_p99_9_seconds", self.max_p99_9, 0.999),
            self.max_error_rate.map(|wanted| ("max_error_rate", wanted, error_rate, f64::le as Holds)),
            self.min_rate.map(|wanted| ("min_rate", wanted, Some(rate), f64::ge as Holds)),
        ];
        let verdict = |(limit, wanted, measured, holds): (_, f64, Option<f64>, Holds)| Verdict {
            scenario: scenario.to_owned(),
            limit,
            wanted,
            measured,
            met: measured.is_some_and(|measured| holds(&measured, &wanted)),
        };
        judged.into_iter().flatten().map(verdict).collect()
    }
}

type Holds = fn(&f64, &f64) -> bool;
