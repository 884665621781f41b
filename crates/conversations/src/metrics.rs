//! The names of this crate's metrics.

use metrics::{Counter, counter, describe_counter};

use crate::reaper::Outcome;

/// Counter by `outcome`: looks for vanished workspaces (`done`, `busy`, `refused`, `failed`).
pub const REAPER_LOOKS: &str = "parlant_reaper_looks_total";
/// Counter: agents archived because their workspace is gone.
pub const REAPER_ARCHIVED_AGENTS: &str = "parlant_reaper_archived_agents_total";

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
