use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

/// How something is. The worse, the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does not do its work.
    Unhealthy,
    /// It works, and needs somebody's attention.
    Degraded,
    /// All is well.
    Healthy,
}

impl Status {
    /// As it stands in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unhealthy => "unhealthy",
            Self::Degraded => "degraded",
            Self::Healthy => "healthy",
        }
    }
}

/// One thing that can be looked at.
pub trait Check: Send + Sync + 'static {
    /// What it is called in reports and in the label `check`: snake case, and nobody else's.
    fn name(&self) -> &'static str;

    /// Whether the service is of no use without it. Then it is unhealthy when this is, and gets no requests.
    fn critical(&self) -> bool {
        false
    }

    /// How long a look may take. It is dropped after that, and counts as unhealthy.
    fn timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Looks. It is never called while an earlier look has not ended.
    fn run(&self) -> Running<'_>;
}

/// A look that is under way.
pub type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// What a look has found.
#[derive(Debug)]
pub struct Outcome {
    /// How it is.
    pub status: Status,
    /// Numbers for people, an object. Everybody may see them unless `HEALTH_DETAILS` says otherwise: no addresses,
    /// no texts of others.
    pub details: Value,
    /// What is wrong, in fixed words.
    pub error: Option<&'static str>,
    /// Why, for the log.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Outcome {
    /// That all is well.
    #[must_use]
    pub fn healthy() -> Self {
        Self { status: Status::Healthy, details: json!({}), error: None, cause: None }
    }

    /// What needs attention.
    #[must_use]
    pub fn degraded(error: &'static str) -> Self {
        Self { status: Status::Degraded, error: Some(error), ..Self::healthy() }
    }

    /// What does not work.
    #[must_use]
    pub fn unhealthy(error: &'static str) -> Self {
        Self { status: Status::Unhealthy, error: Some(error), ..Self::healthy() }
    }

    /// The same with numbers.
    #[must_use]
    pub fn with_details(self, details: Value) -> Self {
        Self { details, ..self }
    }

    /// The same with its cause.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }
}
