//! What the service does, in a few numbers: those of `/metrics`, so that the two never disagree.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parlant_metrics::{Exporter, Snapshot};
use serde::Serialize;
use tokio::time::Instant;

use crate::window::Window;

// Names of the rooms beside and above this one, which it may not import (docs/reference/metrics.md).
const ACTIVE_SESSIONS: &str = "parlant_active_sessions";
pub(crate) const AGENTS: &str = "parlant_agents";
const REQUESTS: &str = "parlant_http_requests_total";
const DURATION_SUM: &str = "parlant_http_request_duration_seconds_sum";
const DURATION_COUNT: &str = "parlant_http_request_duration_seconds_count";

const MINUTE: Duration = Duration::from_mins(1);

/// The report's `metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Agent sessions that are active; none before they were counted.
    pub active_sessions: Option<u64>,
    /// Agents that are active; none before they were counted.
    pub total_agents: Option<u64>,
    /// Requests answered in the last minute.
    pub requests_per_minute: f64,
    /// How long the answers of the last minute took on average; none when there were none.
    pub average_response_time_ms: Option<f64>,
}

/// Takes the numbers and remembers those of the last minute.
pub(crate) struct Numbers {
    exporter: Exporter,
    last: Mutex<Last>,
}

struct Last {
    minute: Window<Totals>,
    taken: Option<Instant>,
    figures: Figures,
}

#[derive(Debug, Clone, Copy)]
struct Totals {
    requests: f64,
    duration_sum: f64,
    duration_count: f64,
}

impl Numbers {
    pub(crate) fn new(exporter: Exporter) -> Self {
        let last = Last { minute: Window::new(MINUTE), taken: None, figures: Figures::default() };
        Self { exporter, last: Mutex::new(last) }
    }

    /// Takes the numbers anew when they are older than `age`.
    pub(crate) fn refresh(&self, age: Duration) {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.taken.is_none_or(|taken| now.duration_since(taken) >= age) {
            last.taken = Some(now);
            last.figures = figures(&mut last.minute, now, &self.exporter.snapshot());
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).figures
    }
}

/// The number under a name, if anybody has counted.
pub(crate) fn count(snapshot: &Snapshot, name: &str) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    snapshot.sum(name, &[]).map(|count| count as u64)
}

fn figures(minute: &mut Window<Totals>, now: Instant, snapshot: &Snapshot) -> Figures {
    let total = |name| snapshot.sum(name, &[]).unwrap_or_default();
    let totals =
        Totals { requests: total(REQUESTS), duration_sum: total(DURATION_SUM), duration_count: total(DURATION_COUNT) };
    let (before, age) = minute.slide(now, totals);
    // A first half minute is not stretched; a longer window than a minute is shortened.
    let minutes = age.max(MINUTE).as_secs_f64() / MINUTE.as_secs_f64();
    let answers = totals.duration_count - before.duration_count;
    let average = (totals.duration_sum - before.duration_sum) / answers;
    Figures {
        active_sessions: count(snapshot, ACTIVE_SESSIONS),
        total_agents: count(snapshot, AGENTS),
        requests_per_minute: round((totals.requests - before.requests) / minutes),
        average_response_time_ms: (answers > 0.0).then(|| round(average * 1e3)),
    }
}

/// To three places, which is more than anybody reads.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(requests: u32, seconds: f64) -> Snapshot {
        Snapshot::parse(&format!(
            "{REQUESTS}{{status=\"200\"}} {requests}\n{REQUESTS}{{status=\"503\"}} 10\n\
             {DURATION_SUM}{{endpoint=\"/a\"}} {seconds}\n{DURATION_COUNT}{{endpoint=\"/a\"}} {requests}\n\
             {AGENTS} 7\n{ACTIVE_SESSIONS} 3\n"
        ))
    }

    #[test]
    fn rates_are_of_the_last_minute() {
        let (start, mut minute) = (Instant::now(), Window::new(MINUTE));
        let mut at = |seconds, page| figures(&mut minute, start + Duration::from_secs(seconds), &page);
        let first = at(0, page(100, 50.0));
        assert_eq!((first.total_agents, first.active_sessions), (Some(7), Some(3)));
        assert_eq!((first.requests_per_minute, first.average_response_time_ms), (0.0, None));
        let soon = at(6, page(110, 51.0));
        assert_eq!((soon.requests_per_minute, soon.average_response_time_ms), (10.0, Some(100.0)));
        let later = at(66, page(140, 52.5));
        assert_eq!((later.requests_per_minute, later.average_response_time_ms), (30.0, Some(50.0)));
        let rarely = at(66 + 120, page(340, 52.5));
        assert_eq!((rarely.requests_per_minute, rarely.average_response_time_ms), (100.0, Some(0.0)));
    }

    #[test]
    fn what_nobody_counted_is_not_zero() {
        let nothing = figures(&mut Window::new(MINUTE), Instant::now(), &Snapshot::default());
        assert_eq!(nothing, Figures::default());
        assert_eq!(nothing.total_agents, None);
    }
}
