use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Key;

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

impl Status {
    /// As it stands in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::StillFiring => "still_firing",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// What people are told, whatever carries it to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// What kind of news it is.
    pub status: Status,
    /// Which alert, and how urgent it is.
    #[serde(flatten)]
    pub key: Key,
    /// One line: what happened.
    pub title: String,
    /// A sentence or two in plain text.
    pub message: String,
    /// Details as name and value; a name may be written as in code (`failed_checks`).
    pub fields: Vec<(String, String)>,
    /// What to do about it.
    pub runbook_url: Option<String>,
    /// When it happened.
    pub at: DateTime<Utc>,
}

impl Notification {
    /// The same for the same news, however often it is sent: who has seen it may drop it.
    #[must_use]
    pub fn id(&self) -> String {
        let news = format!("{} {} {}", self.status.as_str(), self.key, self.at.timestamp_micros());
        Sha256::digest(news).iter().take(16).fold(String::new(), |id, byte| id + &format!("{byte:02x}"))
    }
}
