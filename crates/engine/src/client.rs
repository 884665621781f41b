use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parlant_settings::ExposeSecret as _;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::config::base;
use crate::metrics::Metrics;
use crate::{Cause, Config, ConfigError, Error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a request that is no poll. Parlant works on one thread, and a turn may keep it for seconds.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How much later than asked for the answer of a poll may come.
const POLL_LATENESS: Duration = Duration::from_secs(10);
/// Most requests at a time that are no polls: Parlant would do them one after the other anyway.
const MOST_REQUESTS: usize = 32;
/// Most polls at a time. Each makes Parlant search its store four times a second.
const MOST_POLLS: usize = 128;
/// Most bytes of an answer. Parlant's own description is the longest at 0.5 MiB, but lists have no end.
const LIMIT: usize = 8 * 1024 * 1024;

/// A Parlant server. Clones share connections and limits.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    client: Client,
    base: Url,
    composition_mode: String,
    requests: Semaphore,
    polls: Semaphore,
    /// Which version it is; asked once, and again after an outage.
    version: Mutex<Option<String>>,
    metrics: Metrics,
}

/// How the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What it says of itself.
    pub state: State,
    /// Its version, where it tells: a server for production does not.
    pub version: Option<String>,
}

/// What Parlant says of itself. It looks at nothing but how late its event loop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Healthy,
    /// It is slow, or uses a word that this version does not know.
    Degraded,
    /// It is so slow that it calls itself unhealthy. It answers nevertheless.
    Unhealthy,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// A client of the configured server. Nothing is asked yet. Install the metrics recorder first.
    ///
    /// # Errors
    /// When the address is none, the token cannot be sent, or this machine has no root certificates for https.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let base = base(&config.base_url)?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &config.token {
            let bearer = format!("Bearer {}", token.expose_secret());
            let mut bearer = HeaderValue::try_from(bearer).map_err(|_| ConfigError::Token)?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let mut client = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            // Elsewhere is not where the token may go.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("parlant-engine/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // A machine without root certificates need not have any.
            client = client.tls_certs_only([]);
        }
        Ok(Self(Arc::new(Inner {
            client: client.build().map_err(ConfigError::HttpClient)?,
            base,
            composition_mode: config.composition_mode.clone(),
            requests: Semaphore::new(MOST_REQUESTS),
            polls: Semaphore::new(MOST_POLLS),
            version: Mutex::new(None),
            metrics: Metrics::register(),
        })))
    }

    /// How the engine is.
    pub async fn health(&self) -> Result<Health, Error> {
        let known = || self.0.version.lock().unwrap_or_else(PoisonError::into_inner);
        let report = self.get(&["healthz"], &[]).await.inspect_err(|_| *known() = None)?;
        let state = match report["status"].as_str().ok_or(Error::garbage())? {
            "healthy" => State::Healthy,
            "unhealthy" => State::Unhealthy,
            _ => State::Degraded,
        };
        let mut version = known().clone();
        if version.is_none() {
            // It costs Parlant more than anything else that is asked, and a server for production refuses.
            let description = self.get(&["openapi.json"], &[]).await.unwrap_or_default();
            version = description["info"]["version"].as_str().map(str::to_owned);
            known().clone_from(&version);
        }
        Ok(Health { state, version })
    }

    /// How every agent composes its answers.
    pub(crate) fn composition_mode(&self) -> &str {
        &self.0.composition_mode
    }

    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Error> {
        self.request(Method::GET, path, query, None).await
    }

    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Error> {
        self.request(Method::POST, path, &[], Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, Error> {
        self.request(Method::PATCH, path, &[], Some(body)).await
    }

    /// Deletes what is there.
    pub(crate) async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Result<(), Error> {
        match self.request(Method::DELETE, path, query, None).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates what has an id of ours, or gives what has it already. Parlant answers that with 500, or with 422 for
    /// guidelines.
    pub(crate) async fn create(&self, collection: &str, id: &str, body: &Value) -> Result<Value, Error> {
        match self.post(&[collection], body).await {
            Err(error @ (Error::Unreachable(Cause::Status(500)) | Error::Rejected { status: 422 })) => {
                match self.get(&[collection, id], &[]).await {
                    Err(Error::NotFound) => Err(error),
                    found => found,
                }
            }
            created => created,
        }
    }

    /// Waits until there is something, at most `wait`; an empty list when there is nothing.
    pub(crate) async fn poll(&self, path: &[&str], query: &[(&str, &str)], wait: Duration) -> Result<Value, Error> {
        let url = self.url(path, query);
        let exchange = self.exchange(&self.0.polls, wait + POLL_LATENESS, Method::GET, url, None);
        let result = exchange.await.and_then(|(status, body)| {
            // Anything between us and Parlant may say 504; in this form it is Parlant's way to say "nothing".
            let nothing = || parse(&body).is_ok_and(|said| said["detail"].is_string());
            if status == StatusCode::GATEWAY_TIMEOUT && nothing() { Ok(json!([])) } else { judge(status, &body) }
        });
        self.0.metrics.ended(&result);
        result
    }

    async fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let begun = Instant::now();
        let exchange = self.exchange(&self.0.requests, TIMEOUT, method, self.url(path, query), body);
        let result = exchange.await.and_then(|(status, body)| judge(status, &body));
        self.0.metrics.took(begun.elapsed());
        self.0.metrics.ended(&result);
        result
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.0.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends the request in its turn and reads the whole answer, all within `limit`.
    async fn exchange(
        &self,
        lane: &Semaphore,
        limit: Duration,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Vec<u8>), Error> {
        let exchange = async {
            let _turn = lane.acquire().await;
            let mut request = self.0.client.request(method, url);
            if let Some(body) = body {
                request = request.json(body);
            }
            let mut response = request.send().await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if bytes.len() + chunk.len() > LIMIT {
                    return Ok(Err(Error::Unreachable(Cause::TooLarge(LIMIT))));
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(Ok((response.status(), bytes)))
        };
        match timeout(limit, exchange).await {
            Err(_) => Err(Error::Unreachable(Cause::Timeout)),
            // The address is configuration, and configuration does not belong into every log line.
            Ok(Err(error)) => Err(Error::Unreachable(transport(error))),
            Ok(Ok(answer)) => answer,
        }
    }
}

fn transport(error: reqwest::Error) -> Cause {
    if error.is_timeout() { Cause::Timeout } else { Cause::Connection(error.without_url()) }
}

/// What the answer means; of one that is no success, only the status is looked at.
fn judge(status: StatusCode, body: &[u8]) -> Result<Value, Error> {
    match status.as_u16() {
        204 => Ok(Value::Null),
        200..300 => parse(body),
        404 => Err(Error::NotFound),
        // These tell of the request. 401, 403 and 429, a redirection and the like tell of the server.
        status @ (400 | 409 | 413 | 414 | 422) => Err(Error::Rejected { status }),
        status => Err(Error::Unreachable(Cause::Status(status))),
    }
}

fn parse(body: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(body).map_err(|_| Error::garbage())
}
