use serde::Serialize;

use super::service::Identity;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The service runs and answers; or, of a dry run, nothing speaks against it.
    #[default]
    Good,
    /// It was begun, and the service is not as it should be.
    Failed,
    /// Nothing was done, for a reason that is said.
    Refused,
    /// Nothing was done: somebody else is at it.
    Locked,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Worth a look; it goes on.
    Warning,
    /// It does not go on.
    Failed,
    /// Not done, since nothing is to be done.
    Skipped,
}

/// One thing that was done or looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// When it was done, RFC 3339.
    pub timestamp: String,
    /// Which it is: a word that does not change.
    pub step: &'static str,
    /// What it came to.
    pub status: Grade,
    /// For people.
    pub detail: String,
}

/// What was done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The process that answered before, if one did.
    pub before: Option<Identity>,
    /// The one that answers now.
    pub after: Option<Identity>,
    /// Everything that was done, in its order.
    pub steps: Vec<Step>,
    /// What to do now that it failed: commands.
    pub advice: Vec<String>,
    /// How long it took.
    pub duration_seconds: f64,
}
