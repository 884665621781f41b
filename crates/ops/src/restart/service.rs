use std::io;
use std::time::Duration;

use parlant_settings::{ExposeSecret as _, Secret, Settings, Variable};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

/// What is asked after a restart.
pub(super) const VALIDATED: [&str; 3] = ["/health", "/api/v1/auth/status", "/metrics"];

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks at an answer that may still become good.
const AGAIN: Duration = Duration::from_millis(200);

const METRICS_TOKEN: Variable = Variable::new("METRICS_TOKEN", "What `/metrics` wants to see").secret();

/// Which process answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Of the program.
    pub version: String,
    /// Another one in each process.
    pub start_id: String,
}

/// The service over HTTP.
pub(super) struct Service {
    url: String,
    metrics_token: Option<Secret>,
}

impl Service {
    pub(super) fn new(url: &str, mut settings: Settings) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), metrics_token: settings.secret(&METRICS_TOKEN) }
    }

    /// On a connection of its own: an old one leads to an old process.
    async fn get(&self, path: &str, token: Option<&Secret>) -> io::Result<(StatusCode, String)> {
        let mut client = Client::builder().no_proxy().timeout(ANSWER);
        if self.url.starts_with("http:") {
            // There need be no certificates on the machine.
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(io::Error::other)?;
        let mut request = client.get(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await.map_err(told)?;
        let status = answer.status();
        Ok((status, answer.text().await.map_err(told)?))
    }

    pub(super) async fn identity(&self) -> io::Result<Identity> {
        let (status, text) = self.get("/livez", None).await?;
        serde_json::from_str(&text).map_err(|_| io::Error::other(format!("{status} of something else")))
    }

    /// Asks for one of [`VALIDATED`], again where the answer is not good yet, until the deadline.
    pub(super) async fn validate(&self, path: &str, deadline: Instant) -> Result<String, String> {
        let mut answer = Err("no answer".to_owned());
        loop {
            // Cut short, the question before says more.
            if let Ok(now) = timeout_at(deadline, self.ask(path)).await {
                answer = now;
            }
            if answer.is_ok() || Instant::now() + AGAIN >= deadline {
                return answer;
            }
            sleep(AGAIN).await;
        }
    }

    async fn ask(&self, path: &str) -> Result<String, String> {
        let token = self.metrics_token.as_ref().filter(|_| path == "/metrics");
        let (status, text) = self.get(path, token).await.map_err(|error| error.to_string())?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let status_word = body["status"].as_str().unwrap_or("");
        match (path, status.as_u16()) {
            ("/health", 200) => Ok(status_word.to_owned()),
            ("/health", code) => Err(format!("{code} {status_word}")),
            ("/api/v1/auth/status", 200) if body == json!({ "authenticated": false }) => Ok("200".to_owned()),
            ("/metrics", 200) if text.contains("parlant_build_info") => Ok("200".to_owned()),
            ("/metrics", 404) => Ok("404, which is what METRICS_ENABLED=false gives".to_owned()),
            ("/metrics", 401) => Err("401: it wants a METRICS_TOKEN other than the unit's".to_owned()),
            (_, code) => Err(format!("{code}, which is not what it should say")),
        }
    }
}

/// The last cause is what a person can do something about.
fn told(error: reqwest::Error) -> io::Error {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    io::Error::other(cause.to_string())
}
