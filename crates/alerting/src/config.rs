use parlant_settings::{Secret, Settings, Variable};

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
    /// Slack's incoming webhook; none = nothing is sent.
    pub slack_webhook_url: Option<Secret>,
}

impl Config {
    /// Reads [`VARIABLES`]; what is wrong is left in `settings`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let slack_webhook_url = settings.secret(&SLACK_WEBHOOK_URL);
        if let Some(Err(error)) = slack_webhook_url.clone().map(Slack::new) {
            settings.problem(&SLACK_WEBHOOK_URL, error.to_string());
        }
        Self { slack_webhook_url }
    }
}
