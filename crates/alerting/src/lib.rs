//! Alert rules as data, and the messages that alerts become.
//!
//! [`rules()`] is the table of the bridge's rules. [`rule_file`] makes Prometheus' file of them, and an [`Evaluator`]
//! judges a process's own numbers by the same table. [`inhibitions()`] says which of them explains which others.
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
//! [`Alerting`] does all of it: it looks at the rules once in [`Config::interval`] and sees to it that [`Notifier`]s are
//! told, [`Slack`] and a JSON [`Webhook`] among them. `examples/service.rs` is a service with a rule and a notifier of its
//! own. The parts are there by themselves: [`Machine`] decides what is told, [`send_within`] sends one message.
//!
//! # What people hear
//! One message when an alert fires, one when it is over, and a reminder each [`Config::repeat_interval`]; [`Machine`] has
//! the rules, with the bound on what comes and goes.
//!
//! A message waits in the file `alerts.json` of [`Config::state_dir`] from before it is sent until after it was taken. So
//! none is lost when the process is killed, and one is sent twice only when its answer was lost. The file is not a table of
//! PostgreSQL because nothing needs telling as much as that PostgreSQL is gone. One process has the directory at a time,
//! and the next one waits for it two minutes at most. A file that cannot be used is set aside; while none can be written,
//! everything goes on in memory. The log says so.
//!
//! Each notifier has a queue: in order, a message a second. What fails for now is tried again, after a second or two first
//! and 5 minutes at most, or when the other side says (`Retry-After`, a quarter of an hour at most). What is refused for
//! good is counted, logged and dropped. Beyond 1000 messages, reminders are dropped, and alerts from beginning to end whose
//! end waits as well; so nobody hears of an end whose beginning he missed, or the reverse.
//!
//! Replicas share the work by [`Claims`]. Who cannot ask the others tells everything: twice is better than never.
//! A process that is gone tells nothing at all; [`Heartbeat`] is for that.
//!
//! # How to extend
//! A rule is an entry of the table in `rules.rs`, a page in `docs/runbooks/` and a file of tests in
//! `deploy/prometheus/tests/`; `e2e/alert-rules` breaks each part of it and expects the tests to notice. Another way to
//! reach people is an `impl` of [`Notifier`].

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
