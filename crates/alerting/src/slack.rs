//! Slack's incoming webhooks.

use std::time::Duration;

use parlant_settings::{ExposeSecret as _, Secret};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde_json::{Value, json};

use crate::{Notification, SendError, Severity, Status, WebhookError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);

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
pub struct Slack {
    client: Client,
    url: Secret,
}

impl Slack {
    /// # Errors
    /// When `url` is not an `https://` URL (`http://` is for loopback only), or TLS is not to be had.
    pub fn new(url: Secret) -> Result<Self, WebhookError> {
        let parsed = Url::parse(url.expose_secret()).map_err(|_| WebhookError::Url)?;
        let loopback = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if !(parsed.scheme() == "https" || parsed.scheme() == "http" && loopback) {
            return Err(WebhookError::Url);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // Another address is another place, which nobody trusted with the message.
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("parlant-alerting/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(WebhookError::Client)?;
        Ok(Self { client, url })
    }

    /// Posts the notification, once.
    ///
    /// # Errors
    /// When Slack did not say that it took the message; [`SendError`] tells whether to try again, and when.
    pub async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let request = self.client.post(self.url.expose_secret()).json(&Self::payload(notification));
        let response = request.send().await.map_err(|error| SendError::Unreachable(error.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let later = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if later || status.is_server_error() {
            let after = response.headers().get(RETRY_AFTER);
            let seconds = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(SendError::Later { status: status.as_u16(), after: seconds.map(Duration::from_secs) });
        }
        Err(SendError::Refused { status: status.as_u16(), reason: reason(response).await })
    }

    /// What is posted for `notification`: one attachment, the only form of message with a coloured bar.
    #[must_use]
    pub fn payload(notification: &Notification) -> Value {
        let color = match (notification.status, notification.severity) {
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

/// Slack's one-word answer. Whatever else stands between us and Slack may answer anything, with the URL in it.
async fn reason(mut response: Response) -> Option<String> {
    let chunk = response.chunk().await.ok()??;
    let word = std::str::from_utf8(&chunk).ok()?.trim();
    let is_word = (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then(|| word.to_owned())
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
