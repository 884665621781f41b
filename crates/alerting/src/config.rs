use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parlant_settings::{Secret, Settings, Variable};

use crate::{Heartbeat, Notifier, RUNBOOKS, Slack, Webhook, WebhookError};

/// Where alerts are sent.
pub const SLACK_WEBHOOK_URL: Variable =
    Variable::new("SLACK_WEBHOOK_URL", "Slack's incoming webhook for alerts; unset = Slack is not told")
        .alias(&["ALERT_WEBHOOK_URL"])
        .secret();
/// Where else alerts are sent.
pub const JSON_WEBHOOK_URL: Variable =
    Variable::new("ALERT_JSON_WEBHOOK_URL", "A webhook that takes alerts as JSON; unset = none").secret();
/// How often the rules are looked at.
pub const INTERVAL: Variable =
    Variable::new("ALERT_INTERVAL", "How often the alert rules are evaluated").default("30s");
/// How often people are reminded.
pub const REPEAT_INTERVAL: Variable =
    Variable::new("ALERT_REPEAT_INTERVAL", "How often an alert that still fires is told again; 0 = never")
        .default("4h");
/// What survives a restart.
pub const STATE_DIR: Variable = Variable::new(
    "ALERT_STATE_DIR",
    "Directory for what was told and what waits to be sent, one for each process; unset = in memory, lost with the process",
);
/// Who notices that this process is gone.
pub const HEARTBEAT_URL: Variable =
    Variable::new("HEARTBEAT_URL", "Called (GET) after each evaluation, by a service that alarms when that ends")
        .secret();

/// Every variable that this crate reads.
pub const VARIABLES: &[Variable] =
    &[SLACK_WEBHOOK_URL, JSON_WEBHOOK_URL, INTERVAL, REPEAT_INTERVAL, STATE_DIR, HEARTBEAT_URL];

/// When alerts are told, where, and what of that is kept.
#[derive(Debug, Clone)]
pub struct Config {
    /// Slack; none: it is not told.
    pub slack: Option<Slack>,
    /// Whoever takes JSON.
    pub webhook: Option<Webhook>,
    /// Who notices that this process is gone.
    pub heartbeat: Option<Heartbeat>,
    /// Between two looks at the rules.
    pub interval: Duration,
    /// Between two reminders of one alert; zero: there are none.
    pub repeat_interval: Duration,
    /// Where the state file is; none: the state ends with the process.
    pub state_dir: Option<PathBuf>,
    /// How long the last messages may take when the process stops.
    pub drain: Duration,
    /// Where the runbooks are, as [`RUNBOOKS`].
    pub runbooks: String,
    /// Added to each message: which of several services or servers it is about.
    pub fields: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slack: None,
            webhook: None,
            heartbeat: None,
            interval: Duration::from_secs(30),
            repeat_interval: Duration::from_hours(4),
            state_dir: None,
            drain: Duration::from_secs(10),
            runbooks: RUNBOOKS.to_owned(),
            fields: Vec::new(),
        }
    }
}

impl Config {
    /// Reads [`VARIABLES`]; what is wrong is left in `settings`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let interval = settings.optional(&INTERVAL);
        if interval.is_some_and(|interval| interval < Duration::from_secs(1)) {
            settings.problem(&INTERVAL, "must be 1 second or more");
        }
        Self {
            slack: address(settings, &SLACK_WEBHOOK_URL, Slack::new),
            webhook: address(settings, &JSON_WEBHOOK_URL, Webhook::new),
            heartbeat: address(settings, &HEARTBEAT_URL, Heartbeat::new),
            interval: interval.unwrap_or_default(),
            repeat_interval: settings.value(&REPEAT_INTERVAL),
            state_dir: settings.optional(&STATE_DIR),
            ..Self::default()
        }
    }

    /// Slack and the webhook, as far as they are set.
    #[must_use]
    pub fn notifiers(&self) -> Vec<Arc<dyn Notifier>> {
        let slack = self.slack.clone().map(|slack| Arc::new(slack) as Arc<dyn Notifier>);
        let webhook = self.webhook.clone().map(|webhook| Arc::new(webhook) as Arc<dyn Notifier>);
        slack.into_iter().chain(webhook).collect()
    }
}

fn address<T>(
    settings: &mut Settings,
    variable: &Variable,
    new: impl Fn(Secret) -> Result<T, WebhookError>,
) -> Option<T> {
    match settings.secret(variable).map(new)? {
        Ok(usable) => Some(usable),
        Err(error) => {
            settings.problem(variable, error.to_string());
            None
        }
    }
}
