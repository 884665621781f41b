//! The names of this crate's metrics.

use chrono::{DateTime, Utc};
use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};

use crate::reaper::Outcome;
use crate::usage::Usage;

/// Counter by `outcome`: looks for vanished workspaces (`done`, `busy`, `refused`, `failed`).
pub const REAPER_LOOKS: &str = "parlant_reaper_looks_total";
/// Counter: agents archived because their workspace is gone.
pub const REAPER_ARCHIVED_AGENTS: &str = "parlant_reaper_archived_agents_total";

/// Gauge: sessions that have not ended, the same number on each replica.
pub const ACTIVE_SESSIONS: &str = "parlant_active_sessions";
/// Gauge: agents that are not archived, the same number on each replica.
pub const AGENTS: &str = "parlant_agents";
/// Gauge: when the two were counted last, in seconds since 1970.
pub const USAGE_SAMPLE_TIMESTAMP: &str = "parlant_usage_sample_timestamp_seconds";

/// Handles are made with the reaper, so that every series is there as 0 from the start: install the recorder first.
pub(crate) struct ReaperMetrics {
    done: Counter,
    busy: Counter,
    refused: Counter,
    failed: Counter,
    archived_agents: Counter,
}

impl ReaperMetrics {
    pub(crate) fn register() -> Self {
        describe_counter!(REAPER_LOOKS, "Looks for workspaces that vanished from Sim.");
        describe_counter!(REAPER_ARCHIVED_AGENTS, "Agents archived because their workspace is gone.");
        let looks = |outcome: &'static str| counter!(REAPER_LOOKS, "outcome" => outcome);
        Self {
            done: looks("done"),
            busy: looks("busy"),
            refused: looks("refused"),
            failed: looks("failed"),
            archived_agents: counter!(REAPER_ARCHIVED_AGENTS),
        }
    }

    /// Counts a look by how it ended; none for a failure.
    pub(crate) fn looked(&self, outcome: Option<Outcome>) {
        let counter = match outcome {
            Some(Outcome::Done) => &self.done,
            Some(Outcome::Busy) => &self.busy,
            Some(Outcome::Refused) => &self.refused,
            None => &self.failed,
        };
        counter.increment(1);
    }

    pub(crate) fn archived(&self, agents: u64) {
        self.archived_agents.increment(agents);
    }
}

/// The gauges of what is in use appear with the first count: until then nobody knows, and 0 would be wrong.
pub(crate) fn describe_usage() {
    describe_gauge!(ACTIVE_SESSIONS, "Sessions that have not ended, over all replicas.");
    describe_gauge!(AGENTS, "Agents that are not archived, over all replicas.");
    describe_gauge!(USAGE_SAMPLE_TIMESTAMP, "When sessions and agents were counted last, since 1970.");
}

pub(crate) fn counted(usage: Usage, at: DateTime<Utc>) {
    gauge!(ACTIVE_SESSIONS).set(usage.sessions as f64);
    gauge!(AGENTS).set(usage.agents as f64);
    gauge!(USAGE_SAMPLE_TIMESTAMP).set(at.timestamp_millis() as f64 / 1000.0);
}
