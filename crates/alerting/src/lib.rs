//! Alert rules as data, and the messages that alerts become.
//!
//! [`rules()`] is the table of the bridge's rules. [`rule_file`] makes Prometheus' file of them; anything else that
//! can evaluate an [`Expression`] works from the same table. Slack is told by [`Slack`].
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
//! # How to extend
//! A rule is an entry of the table in `rules.rs`, a page in `docs/runbooks/` and a file of tests in
//! `deploy/prometheus/tests/`; `e2e/alert-rules` breaks each part of it and expects the tests to notice.

mod config;
mod error;
mod expression;
mod finding;
mod notification;
mod promql;
mod rule;
mod rules;
mod slack;

pub use config::{Config, SLACK_WEBHOOK_URL, VARIABLES};
pub use error::{SendError, WebhookError};
pub use expression::{Aggregation, Combination, Comparison, Expression, Matcher, Selector, Source};
pub use finding::{Finding, Reading};
pub use notification::{Notification, Severity, Status};
pub use rule::{RUNBOOKS, Rule, rule_file};
pub use rules::rules;
pub use slack::Slack;
