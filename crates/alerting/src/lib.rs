//! Alert rules as data, and the messages that alerts become.
//!
//! [`rules()`] is the table of the bridge's rules. [`rule_file`] makes Prometheus' file of them, and an [`Evaluator`]
//! judges a process's own numbers by the same table. [`inhibitions()`] says which of them explains which others. Slack is
//! told by [`Slack`].
//!
//! ```
//! use parlant_alerting::{RUNBOOKS, Selector, rule_file, rules};
//!
//! let mut rules = rules();
//! let sessions = rules.iter_mut().find(|rule| rule.name == "ParlantTooManySessions").unwrap();
//! sessions.expression = Selector::new("parlant_active_sessions").last().max_by(&[]).above(5000.0);
//! assert!(rule_file(&rules, RUNBOOKS).contains(r#"max(parlant_active_sessions{job="parlant-server"}) > 5000"#));
//! ```
//!
//! ```
//! use chrono::Utc;
//! use parlant_alerting::{Evaluator, Finding, Source, rules};
//! use parlant_metrics::Snapshot;
//!
//! let rules = rules();
//! let mut evaluator = Evaluator::new(&rules);
//! evaluator.observe(Utc::now(), Source::Server, &Snapshot::parse("parlant_active_sessions 1200"));
//! for (rule, finding) in rules.iter().zip(evaluator.findings(Utc::now())) {
//!     if let Finding::Values(readings) = finding && rule.name == "ParlantTooManySessions" {
//!         assert_eq!(rule.describe(&readings[0]), "1200 agent sessions are active.");
//!     }
//! }
//! ```
//!
//! # How to extend
//! A rule is an entry of the table in `rules.rs`, a page in `docs/runbooks/` and a file of tests in
//! `deploy/prometheus/tests/`; `e2e/alert-rules` breaks each part of it and expects the tests to notice.

mod alert;
mod alerting;
mod claims;
mod config;
mod delivery;
mod endpoint;
mod error;
mod evaluator;
mod expression;
mod finding;
mod heartbeat;
mod history;
mod humanize;
mod inhibition;
mod machine;
mod metrics;
mod notification;
mod notifier;
mod outbox;
mod promql;
mod quantile;
mod rate;
mod rule;
mod rules;
mod slack;
mod state;
mod webhook;

pub use alert::{Alert, Key, Told};
pub use alerting::Alerting;
pub use claims::{Alone, Claims, Holding};
pub use config::{
    Config, HEARTBEAT_URL, INTERVAL, JSON_WEBHOOK_URL, REPEAT_INTERVAL, SLACK_WEBHOOK_URL, STATE_DIR, VARIABLES,
};
pub use delivery::send_within;
pub use error::{SendError, WebhookError};
pub use evaluator::Evaluator;
pub use expression::{Aggregation, Combination, Comparison, Expression, Matcher, Selector, Source};
pub use finding::{Finding, Reading};
pub use heartbeat::Heartbeat;
pub use inhibition::{Inhibition, inhibitions};
pub use machine::Machine;
pub use metrics::{FIRING, HEARTBEATS, NOTIFICATIONS, WAITING};
pub use notification::{Notification, Severity, Status};
pub use notifier::{Notifier, Sending};
pub use rule::{Names, RUNBOOKS, Rule, rule_file};
pub use rules::rules;
pub use slack::Slack;
pub use state::State;
pub use webhook::Webhook;
