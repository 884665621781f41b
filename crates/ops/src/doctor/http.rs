//! Asking somebody over HTTP: bounded, without redirects, and without the address in what is told of it.

use std::error::Error as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::DATE;
use reqwest::{Client, ClientBuilder, Url, redirect};
use tokio::time::Instant;

/// The most bytes of an answer; the server's numbers are the longest.
const LIMIT: usize = 4 * 1024 * 1024;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// What the other side's clock says, to a second.
    pub(crate) date: Option<DateTime<Utc>>,
    /// Half of it is how old `date` is.
    pub(crate) took: Duration,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Silence {
    /// There is no connection.
    NoConnection(String),
    /// There is one, and nothing comes over it in time.
    Timeout,
    /// It broke, or what came is not HTTP.
    Broken(String),
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoConnection(reason) => write!(f, "no connection: {reason}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken(reason) => write!(f, "no HTTP: {reason}"),
        }
    }
}

/// Asks once. `bearer` is sent where there is one.
pub(crate) async fn get(address: &str, bearer: Option<&str>, patience: Duration) -> Result<Answer, Silence> {
    ask(Client::builder().no_proxy(), address, bearer, patience).await
}

/// Asks somebody outside, through the proxy that `HTTPS_PROXY` names, as alerts go.
pub(crate) async fn get_outside(address: &str, patience: Duration) -> Result<Answer, Silence> {
    ask(Client::builder(), address, None, patience).await
}

async fn ask(
    client: ClientBuilder,
    address: &str,
    bearer: Option<&str>,
    patience: Duration,
) -> Result<Answer, Silence> {
    let broken = |error: reqwest::Error| Silence::Broken(reason(&error));
    let url = Url::parse(address).map_err(|_| Silence::Broken("not an address".to_owned()))?;
    let mut client = client
        .timeout(patience)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("parlant-doctor/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "http" {
        // A machine without root certificates need not have any.
        client = client.tls_certs_only([]);
    }
    let mut request = client.build().map_err(broken)?.get(url);
    if let Some(token) = bearer {
        request = request.bearer_auth(token);
    }
    let begun = Instant::now();
    let silence = |error: reqwest::Error| match &error {
        error if error.is_timeout() => Silence::Timeout,
        error if error.is_connect() => Silence::NoConnection(reason(error)),
        error => Silence::Broken(reason(error)),
    };
    let mut response = request.send().await.map_err(silence)?;
    let took = begun.elapsed();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(silence)? {
        if body.len() + chunk.len() > LIMIT {
            return Err(Silence::Broken("the answer has no end".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.to_utc());
    Ok(Answer { status: response.status().as_u16(), body, date, took })
}

/// The last of the causes, which is the system's or the TLS library's. The ones before repeat the address.
fn reason(error: &reqwest::Error) -> String {
    let mut last = error.source();
    while let Some(next) = last.and_then(std::error::Error::source) {
        last = Some(next);
    }
    last.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}
