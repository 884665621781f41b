//! Whether alerts can leave. Nothing is posted: `parlant-ops alerts test` does that.

use std::time::Duration;

use parlant_settings::{ExposeSecret as _, Secret};
use url::Url;

use crate::doctor::Config;
use crate::doctor::http::get_outside;
use crate::doctor::kinds::ALERTS_UNREACHABLE;
use crate::doctor::sheet::Sheet;

const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the webhook's server for its first page: that shows name, network and certificate, and nobody sees a message.
pub(crate) async fn look(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    let Some(origin) = config.webhook.as_ref().and_then(origin) else {
        sheet.skip("alerts", "SLACK_WEBHOOK_URL is not set: no alerts are sent from here");
        return sheet;
    };
    if let Err(silence) = get_outside(&origin, PATIENCE).await {
        sheet.find(
            ALERTS_UNREACHABLE
                .warning("Alerts cannot reach the webhook")
                // The host is no secret, the path is.
                .evidence(format!("{origin}: {silence}"))
                .mend("parlant-ops alerts test   # sends a message, and says what came back"),
        );
    }
    sheet
}

/// The scheme, host and port: whoever knows the rest can post.
fn origin(webhook: &Secret) -> Option<String> {
    Some(Url::parse(webhook.expose_secret()).ok()?.origin().ascii_serialization()).filter(|origin| origin != "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_webhook_only_the_server_is_shown() {
        let shown =
            origin(&Secret::from("https://user:canary@hooks.slack.com/services/T0/B0/canary?canary".to_owned()));
        assert_eq!(shown.as_deref(), Some("https://hooks.slack.com"));
    }
}
