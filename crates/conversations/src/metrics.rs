//! The names of this crate's metrics.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::Reason;
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
/// Gauge: messages that wait for their answer, the same number on each replica.
pub const OUTBOX_PENDING: &str = "parlant_engine_outbox_pending";
/// Gauge, in seconds: how long the oldest of these has waited; 0 when there is none.
pub const OUTBOX_OLDEST_SECONDS: &str = "parlant_engine_outbox_oldest_seconds";
/// Gauge: when all of these were counted last, in seconds since 1970.
pub const USAGE_SAMPLE_TIMESTAMP: &str = "parlant_usage_sample_timestamp_seconds";

/// Gauge: 1 while what other processes announce is heard.
pub const LIVE_CONNECTED: &str = "parlant_live_connected";

/// Counter by `outcome`: turns that ended on this replica, `answered` or failed for the reason given.
pub const TURNS: &str = "parlant_engine_turns_total";
/// Histogram, in seconds: from a message's being stored to the end of its turn.
pub const TURN_DURATION_SECONDS: &str = "parlant_engine_turn_duration_seconds";

/// Handles are made with the delivery; see [`ReaperMetrics`].
pub(crate) struct TurnMetrics {
    answered: Counter,
    failed: [(Reason, Counter); 5],
    duration: Histogram,
}

impl TurnMetrics {
    pub(crate) fn register() -> Self {
        describe_counter!(TURNS, "Turns of agents that ended.");
        describe_histogram!(TURN_DURATION_SECONDS, "From a message to the end of the turn that answers it.");
        let turns = |outcome: &'static str| counter!(TURNS, "outcome" => outcome);
        Self {
            answered: turns("answered"),
            failed: Reason::ALL.map(|reason| (reason, turns(reason.as_str()))),
            duration: histogram!(TURN_DURATION_SECONDS),
        }
    }

    pub(crate) fn ended(&self, failed: Option<Reason>, duration: Duration) {
        let known = self.failed.iter().find(|(reason, _)| Some(*reason) == failed);
        known.map_or(&self.answered, |(_, counter)| counter).increment(1);
        self.duration.record(duration.as_secs_f64());
    }
}

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
    describe_gauge!(OUTBOX_PENDING, "Messages that wait for their answer, over all replicas.");
    describe_gauge!(OUTBOX_OLDEST_SECONDS, "How long the oldest of them has waited.");
    describe_gauge!(USAGE_SAMPLE_TIMESTAMP, "When sessions and agents were counted last, since 1970.");
}

pub(crate) fn counted(usage: Usage, at: DateTime<Utc>) {
    gauge!(ACTIVE_SESSIONS).set(usage.sessions as f64);
    gauge!(AGENTS).set(usage.agents as f64);
    gauge!(OUTBOX_PENDING).set(usage.outbox_pending as f64);
    gauge!(OUTBOX_OLDEST_SECONDS).set(usage.outbox_oldest.as_secs_f64());
    gauge!(USAGE_SAMPLE_TIMESTAMP).set(at.timestamp_millis() as f64 / 1000.0);
}

/// Made when notices begin to be exchanged.
pub(crate) struct LiveMetrics {
    pub(crate) connected: Gauge,
}

impl LiveMetrics {
    pub(crate) fn register() -> Self {
        describe_gauge!(LIVE_CONNECTED, "Whether what other processes announce is heard.");
        Self { connected: gauge!(LIVE_CONNECTED) }
    }
}
