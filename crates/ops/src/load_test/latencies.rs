use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// Times, of which any percentile can be had, right to three digits and to a microsecond.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    #[expect(clippy::expect_used, reason = "constants within the library's bounds")]
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds of a histogram"))
    }
}

impl Latencies {
    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `quantile` of all requests took at most, when `missing` more took longer than anybody measured; none
    /// when it is one of those.
    pub(super) fn quantile(&self, quantile: f64, missing: u64) -> Option<f64> {
        let counted = self.0.len();
        let total = (counted + missing) as f64;
        let among_counted = quantile * total / counted as f64;
        // Rounding must not lose the last one.
        (counted > 0 && among_counted < 1.0 + 1e-9).then(|| seconds(self.0.value_at_quantile(among_counted.min(1.0))))
    }

    pub(super) fn summary(&self) -> Summary {
        let count = self.count();
        let any = |value: f64| (count > 0).then_some(value);
        // Below that number, the percentile would be the maximum under another name.
        let percentile = |quantile: f64| {
            let slower = count as f64 * (1.0 - quantile);
            self.quantile(quantile, 0).filter(|_| slower > 1.0 - 1e-9)
        };
        Summary {
            count,
            min: any(seconds(self.0.min())),
            mean: any(seconds(1) * self.0.mean()),
            median: any(seconds(self.0.value_at_quantile(0.5))),
            p50: percentile(0.5),
            p90: percentile(0.9),
            p95: percentile(0.95),
            p99: percentile(0.99),
            p99_9: percentile(0.999),
            max: any(seconds(self.0.max())),
        }
    }
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// Times in seconds. A percentile is there when at least one time is beyond it: `p99` of 99 requests is not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// The shortest.
    pub min: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Half of them are no longer.
    pub median: Option<f64>,
    /// The same, of two or more.
    pub p50: Option<f64>,
    /// 90 % are no longer.
    pub p90: Option<f64>,
    /// 95 % are no longer.
    pub p95: Option<f64>,
    /// 99 % are no longer.
    pub p99: Option<f64>,
    /// 99.9 % are no longer.
    pub p99_9: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(milliseconds: u64) -> Latencies {
        let mut latencies = Latencies::default();
        (1..=milliseconds).for_each(|latency| latencies.record(Duration::from_millis(latency)));
        latencies
    }

    fn is_about(value: Option<f64>, expected: f64) {
        assert!(value.is_some_and(|value| (value / expected - 1.0).abs() < 0.001), "{value:?}, not {expected}");
    }

    #[test]
    fn percentiles_of_a_known_distribution_are_right_to_three_digits() {
        let summary = up_to(10_000).summary();
        assert_eq!(summary.count, 10_000);
        for (value, expected) in [
            (summary.min, 0.001),
            (summary.mean, 5.0005),
            (summary.median, 5.0),
            (summary.p50, 5.0),
            (summary.p90, 9.0),
            (summary.p95, 9.5),
            (summary.p99, 9.9),
            (summary.p99_9, 9.99),
            (summary.max, 10.0),
        ] {
            is_about(value, expected);
        }
    }

    #[test]
    fn a_percentile_that_the_number_of_requests_cannot_support_is_not_reported() {
        let Summary { p95, p99, p99_9, .. } = up_to(20).summary();
        is_about(p95, 0.019);
        assert_eq!((p99, p99_9), (None, None));
        let Summary { p99, p99_9, .. } = up_to(999).summary();
        assert!(p99.is_some() && p99_9.is_none());
        assert!(up_to(1000).summary().p99_9.is_some());
        let nothing = Latencies::default().summary();
        assert_eq!((nothing.min, nothing.median, nothing.max), (None, None, None));
    }

    #[test]
    fn what_was_never_measured_counts_as_slower_than_everything() {
        let latencies = up_to(95);
        is_about(latencies.quantile(0.9, 5), 0.09);
        is_about(latencies.quantile(0.95, 5), 0.095);
        assert_eq!(latencies.quantile(0.96, 5), None);
        assert_eq!(Latencies::default().quantile(0.5, 0), None);
    }
}
