use std::fmt;

use chrono::{DateTime, Utc};

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know; nobody has to do anything now.
    Info,
    /// Somebody should look within the working day.
    Warning,
    /// Users are affected: somebody should look at once.
    Critical,
}

impl Severity {
    /// The value of the `severity` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of news it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It has begun.
    Firing,
    /// It goes on, and was told before.
    StillFiring,
    /// It is over.
    Resolved,
    /// It is none: somebody tries whether news arrives.
    Test,
}

/// What people are told, whatever carries it to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What kind of news it is.
    pub status: Status,
    /// One line: what happened.
    pub title: String,
    /// How urgent it is.
    pub severity: Severity,
    /// A sentence or two in plain text.
    pub message: String,
    /// Details as name and value; a name may be written as in code (`failed_checks`).
    pub fields: Vec<(String, String)>,
    /// What to do about it.
    pub runbook_url: Option<String>,
    /// When it happened.
    pub at: DateTime<Utc>,
}
