//! The HTTP that every secret URL has in common.

use std::time::Duration;

use chrono::{DateTime, Utc};
use parlant_settings::{ExposeSecret as _, Secret};
use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use serde_json::Value;

use crate::{SendError, WebhookError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One URL that nobody may see, and how it is asked. Requests go through the proxy that `HTTPS_PROXY` names.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    client: Client,
    url: Secret,
}

impl Endpoint {
    /// Refuses what is not `https://`; `http://` is for loopback only.
    pub(crate) fn new(url: Secret) -> Result<Self, WebhookError> {
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

    pub(crate) async fn get(&self) -> Result<(), SendError> {
        exchange(self.client.get(self.url.expose_secret())).await
    }

    pub(crate) async fn post(&self, body: &Value) -> Result<(), SendError> {
        exchange(self.client.post(self.url.expose_secret()).json(body)).await
    }
}

/// The status decides: once it says that all is well, what becomes of the rest of the answer is no matter.
async fn exchange(request: RequestBuilder) -> Result<(), SendError> {
    let response = request.send().await.map_err(|error| SendError::Unreachable(error.without_url().into()))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("status {}", status.as_u16());
    let later = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if later || status.is_server_error() {
        let after = response.headers().get(RETRY_AFTER).and_then(|value| wait(value, Utc::now()));
        return Err(SendError::Later { reason, after });
    }
    let word = word(response).await.map(|word| format!(", {word}"));
    Err(SendError::Refused(reason + &word.unwrap_or_default()))
}

/// `Retry-After`: seconds, or a date.
fn wait(value: &HeaderValue, now: DateTime<Utc>) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let seconds = text.parse().map(Duration::from_secs).ok();
    seconds.or_else(|| (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().ok())
}

/// Slack's one-word answer. Whatever else stands between us and the receiver may answer anything, with the URL in it.
async fn word(mut response: Response) -> Option<String> {
    let chunk = response.chunk().await.ok()??;
    let word = std::str::from_utf8(&chunk).ok()?.trim();
    let is_word = (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-11-30T12:00:00Z").unwrap().to_utc();
        let wait = |text: &str| wait(&HeaderValue::from_str(text).unwrap(), now);
        assert_eq!(wait("30"), Some(Duration::from_secs(30)));
        assert_eq!(wait("Mon, 30 Nov 2026 12:01:30 GMT"), Some(Duration::from_secs(90)));
        for nothing in ["Mon, 30 Nov 2026 11:59:00 GMT", "soon", "-1", "1.5", ""] {
            assert_eq!(wait(nothing), None, "{nothing}");
        }
    }
}
