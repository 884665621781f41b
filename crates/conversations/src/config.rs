use parlant_settings::{Settings, Variable};

/// Most active agents of one workspace.
pub const MAX_AGENTS_PER_WORKSPACE: Variable =
    Variable::new("MAX_AGENTS_PER_WORKSPACE", "Most active agents in a workspace").default("100");
/// Most active sessions of one user, over all workspaces.
pub const MAX_SESSIONS_PER_USER: Variable =
    Variable::new("MAX_SESSIONS_PER_USER", "Most active sessions of a user").default("100");
/// Every variable that this crate reads.
pub const VARIABLES: &[Variable] = &[MAX_AGENTS_PER_WORKSPACE, MAX_SESSIONS_PER_USER];

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
