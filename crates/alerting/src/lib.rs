//! Alert rules as data, and the messages that alerts become.
//!
//! ```
//! use chrono::{TimeZone as _, Utc};
//! use parlant_alerting::{Notification, Severity, slack};
//!
//! let notification = Notification {
//!     title: "Backup failed".to_owned(),
//!     severity: Severity::Critical,
//!     message: "pg_dump ended with exit code 1".to_owned(),
//!     fields: vec![("last_success".to_owned(), "2026-11-22 02:00 UTC".to_owned())],
//!     runbook_url: None,
//!     at: Utc.timestamp_opt(1_795_455_080, 0).unwrap(),
//! };
//! let payload = slack::payload(&notification);
//! assert_eq!(payload["attachments"][0]["color"], "danger");
//! ```

mod config;
mod error;
mod notification;
pub mod slack;

pub use config::{Config, SLACK_WEBHOOK_URL, VARIABLES};
pub use error::{SendError, WebhookError};
pub use notification::{Notification, Severity};
pub use slack::Slack;
