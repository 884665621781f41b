//! Slack's incoming webhooks.

use parlant_settings::Secret;
use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::{Notification, Notifier, Sending, Severity, Status, WebhookError};

/// Slack cuts longer titles off, in the middle of an entity if need be.
const TITLE_LIMIT: usize = 1024;
/// What Slack recommends as the longest text of a message.
const TEXT_LIMIT: usize = 4000;
/// Beyond it a list of details is no longer read; Slack's own bound is on the message as a whole.
const FIELDS_LIMIT: usize = 20;
const FIELD_LIMIT: usize = 1000;
/// Two fields with values up to this length share a line.
const SHORT: usize = 40;

/// Posts notifications to one webhook. Requests go through the proxy that `HTTPS_PROXY` names.
///
/// Neither `Debug` nor any error shows the URL: whoever knows it can post.
#[derive(Debug, Clone)]
pub struct Slack(Endpoint);

impl Slack {
    /// # Errors
    /// When `url` is not an `https://` URL (`http://` is for loopback only), or TLS is not to be had.
    pub fn new(url: Secret) -> Result<Self, WebhookError> {
        Endpoint::new(url).map(Self)
    }

    /// What is posted for `notification`: one attachment, the only form of message with a coloured bar.
    #[must_use]
    pub fn payload(notification: &Notification) -> Value {
        let color = match (notification.status, notification.key.severity) {
            (Status::Resolved, _) | (_, Severity::Info) => "good",
            (_, Severity::Warning) => "warning",
            (_, Severity::Critical) => "danger",
        };
        let fields = notification.fields.iter().take(FIELDS_LIMIT).map(|(name, value)| {
            json!({
                "title": text(&readable(name), FIELD_LIMIT),
                "value": text(value, FIELD_LIMIT),
                "short": value.chars().count() <= SHORT,
            })
        });
        let mut attachment = json!({
            "fallback": text(&format!("{}: {}", notification.title, notification.message), TITLE_LIMIT),
            "color": color,
            "title": text(&notification.title, TITLE_LIMIT),
            "text": text(&notification.message, TEXT_LIMIT),
            "fields": fields.collect::<Vec<_>>(),
            "footer": "Parlant Integration Bridge",
            "ts": notification.at.timestamp(),
            // No mark-up anywhere: `parlant_active_sessions` is not meant to be in italics.
            "mrkdwn_in": [],
        });
        if let Some(url) = &notification.runbook_url {
            attachment["title_link"] = json!(url);
        }
        json!({ "attachments": [attachment] })
    }
}

impl Notifier for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        Box::pin(async move { self.0.post(&Self::payload(notification)).await })
    }
}

/// `failed_checks` as people write it: `Failed Checks`.
fn readable(name: &str) -> String {
    let words = name.split(['_', ' ']).filter(|word| !word.is_empty()).map(|word| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `text` with Slack's three special characters escaped, so that no `<!channel>` calls anybody, and no longer than
/// `limit` characters; an entity is never cut in two.
fn text(text: &str, limit: usize) -> String {
    let escaped = |character| match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        other => other.to_string(),
    };
    let whole: String = text.chars().map(escaped).collect();
    if whole.chars().count() <= limit {
        return whole;
    }
    let mut room = limit - 1;
    let pieces = text.chars().map(escaped).map_while(|piece| {
        room = room.checked_sub(piece.chars().count())?;
        Some(piece)
    });
    pieces.collect::<String>() + "…"
}
