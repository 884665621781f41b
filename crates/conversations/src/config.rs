use std::time::Duration;

use parlant_settings::{Settings, Variable};

/// Most active agents of one workspace.
pub const MAX_AGENTS_PER_WORKSPACE: Variable =
    Variable::new("MAX_AGENTS_PER_WORKSPACE", "Most active agents in a workspace").default("100");
/// Most active sessions of one user, over all workspaces.
pub const MAX_SESSIONS_PER_USER: Variable =
    Variable::new("MAX_SESSIONS_PER_USER", "Most active sessions of a user").default("100");
/// Most turns of agents that are under way at a time.
pub const MAX_TURNS: Variable =
    Variable::new("PARLANT_MAX_TURNS", "Most messages that a replica lets Parlant answer at a time").default("32");
/// How long the engine may work on an answer.
pub const TURN_TIMEOUT: Variable =
    Variable::new("PARLANT_TURN_TIMEOUT", "Longest time from a message's delivery to Parlant to the end of its answer")
        .default("120s");
/// How long the engine may be away.
pub const DELIVERY_TIMEOUT: Variable =
    Variable::new("PARLANT_DELIVERY_TIMEOUT", "Age at which a message is given up when Parlant cannot be reached")
        .default("1h");
/// Every variable that this crate reads.
pub const VARIABLES: &[Variable] =
    &[MAX_AGENTS_PER_WORKSPACE, MAX_SESSIONS_PER_USER, MAX_TURNS, TURN_TIMEOUT, DELIVERY_TIMEOUT];

/// How much one workspace or user may hold at a time. Archived agents and ended sessions do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most active agents of one workspace.
    pub agents_per_workspace: u32,
    /// Most active sessions of one user, over all workspaces.
    pub sessions_per_user: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { agents_per_workspace: 100, sessions_per_user: 100 }
    }
}

impl Limits {
    /// Reads the limits; one below 1 is a problem, because nothing could ever be made.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let mut limit = |variable: &Variable| {
            let limit = settings.value::<u32>(variable);
            if limit == 0 {
                settings.problem(variable, "must be at least 1");
            }
            limit
        };
        Self {
            agents_per_workspace: limit(&MAX_AGENTS_PER_WORKSPACE),
            sessions_per_user: limit(&MAX_SESSIONS_PER_USER),
        }
    }
}

/// How messages are delivered to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Most turns under way at a time, at least 1.
    pub max_turns: usize,
    /// From a message's delivery to the end of its turn.
    pub turn_timeout: Duration,
    /// From a message's being stored to when it is given up if the engine is away.
    pub delivery_timeout: Duration,
    /// How long the turns of a replica that died wait for another one. After a third of it the turn of a session that
    /// was ended is noticed.
    pub lease: Duration,
    /// The pause after a first failure.
    pub first_pause: Duration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            max_turns: 32,
            turn_timeout: Duration::from_mins(2),
            delivery_timeout: Duration::from_hours(1),
            lease: Duration::from_secs(15),
            first_pause: Duration::from_millis(500),
        }
    }
}

impl DeliveryConfig {
    /// Reads the bounds; 0 is a problem, because nothing could ever be answered.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let max_turns = settings.value(&MAX_TURNS);
        if max_turns == 0 {
            settings.problem(&MAX_TURNS, "must be at least 1");
        }
        let mut time = |variable: &Variable| {
            let time = settings.value::<Duration>(variable);
            if time.is_zero() {
                settings.problem(variable, "must be longer than nothing");
            }
            time
        };
        let (turn_timeout, delivery_timeout) = (time(&TURN_TIMEOUT), time(&DELIVERY_TIMEOUT));
        Self { max_turns, turn_timeout, delivery_timeout, ..Self::default() }
    }
}
