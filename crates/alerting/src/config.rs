use parlant_settings::{Settings, Variable};

use crate::Slack;

/// Where alerts are sent.
pub const SLACK_WEBHOOK_URL: Variable =
    Variable::new("SLACK_WEBHOOK_URL", "Slack's incoming webhook for alerts; unset = none are sent")
        .alias(&["ALERT_WEBHOOK_URL"])
        .secret();

/// Every variable that this crate reads.
pub const VARIABLES: &[Variable] = &[SLACK_WEBHOOK_URL];

/// Where alerts go.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Slack; none: nothing is sent.
    pub slack: Option<Slack>,
}

impl Config {
    /// Reads [`VARIABLES`]; what is wrong is left in `settings`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let slack = settings.secret(&SLACK_WEBHOOK_URL).map(Slack::new).transpose();
        let slack = slack.map_err(|error| settings.problem(&SLACK_WEBHOOK_URL, error.to_string()));
        Self { slack: slack.unwrap_or_default() }
    }
}
