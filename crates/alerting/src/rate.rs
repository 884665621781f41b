//! `PromQL`'s `rate`.

use std::time::Duration;

/// What a counter did within a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    /// The first sample: when, in milliseconds, and what.
    pub(crate) first: (i64, f64),
    /// The last one.
    pub(crate) last: (i64, f64),
    /// How many there are.
    pub(crate) samples: usize,
    /// What it had reached before each time that it began anew.
    pub(crate) resets: f64,
}

impl Growth {
    /// Per second within the window that ends at `end`. The samples hardly ever reach from edge to edge: what lies
    /// beyond them is taken to be as what they show, as far as one would expect the next sample, and not further back
    /// than to where the counter was 0. None with fewer than two samples.
    pub(crate) fn per_second(&self, window: Duration, end: i64) -> Option<f64> {
        let more = self.samples.checked_sub(1).filter(|more| *more > 0)?;
        let sampled = seconds(self.last.0 - self.first.0);
        let between = sampled / more as f64;
        let growth = self.last.1 - self.first.1 + self.resets;
        let mut before = window.as_secs_f64() - seconds(end - self.first.0);
        let after = seconds(end - self.last.0);
        if growth > 0.0 && self.first.1 >= 0.0 {
            before = before.min(sampled * (self.first.1 / growth));
        }
        let reach = |gap: f64| if gap < between * NEAR { gap } else { between / 2.0 };
        Some(growth * ((sampled + reach(before) + reach(after)) / sampled / window.as_secs_f64()))
    }
}

/// As part of the usual time between two samples, how far from the edge of a window one may be that is next to it.
pub(crate) const NEAR: f64 = 1.1;

pub(crate) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hold(first: (i64, f64), last: (i64, f64), samples: usize, resets: f64, expected: Option<f64>) {
        let growth = Growth { first, last, samples, resets };
        // A window of 100 s that ends at 100 s.
        let found = growth.per_second(Duration::from_secs(100), 100_000);
        assert_eq!(found.map(|found| (found * 1e9).round() / 1e9), expected);
    }

    #[test]
    fn growth_is_extended_to_the_edges_that_are_near() {
        hold((0, 10.0), (100_000, 60.0), 11, 0.0, Some(0.5));
        hold((5_000, 100.0), (95_000, 145.0), 10, 0.0, Some(0.5));
        // Too far from both edges: half of the usual distance each.
        hold((20_000, 100.0), (80_000, 130.0), 7, 0.0, Some(0.35));
        // Before that it would have been less than 0.
        hold((5_000, 1.0), (95_000, 46.0), 10, 0.0, Some(0.485));
        hold((5_000, 0.0), (95_000, 45.0), 10, 0.0, Some(0.475));
    }

    #[test]
    fn a_restart_loses_nothing_and_one_sample_says_nothing() {
        hold((0, 70.0), (100_000, 20.0), 11, 100.0, Some(0.5));
        hold((0, 7.0), (100_000, 7.0), 11, 0.0, Some(0.0));
        hold((50_000, 7.0), (50_000, 7.0), 1, 0.0, None);
    }
}
