//! A careful HTTP client: time limits, no redirects, no proxies from the environment, and no more of a body than
//! was bargained for.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};

use crate::Cause;

/// What went wrong when a server was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer")]
    Transport(#[source] reqwest::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("more than {0} bytes")]
    TooLarge(usize),
    #[error("not the JSON that was expected")]
    Garbage(#[source] serde_json::Error),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // The address is configuration, and configuration does not belong into every log line.
        Self::Transport(error.without_url())
    }
}

impl FetchError {
    pub(crate) fn cause(self, summary: &'static str) -> Cause {
        Cause::with_error(summary, self)
    }
}

pub(crate) fn client(connect_timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .connect_timeout(connect_timeout)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("parlant-auth-bridge/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Sends the request and reads the whole answer, up to `limit` bytes and within `timeout`.
pub(crate) async fn send(
    request: RequestBuilder,
    timeout: Duration,
    limit: usize,
) -> Result<(StatusCode, Vec<u8>), FetchError> {
    let mut response = request.timeout(timeout).send().await?;
    let body = body(&mut response, limit).await?;
    Ok((response.status(), body))
}

/// As [`send`], for the answers that count only when their status is 200.
pub(crate) async fn send_for_ok(
    request: RequestBuilder,
    timeout: Duration,
    limit: usize,
) -> Result<Vec<u8>, FetchError> {
    match send(request, timeout, limit).await? {
        (StatusCode::OK, body) => Ok(body),
        (status, _) => Err(FetchError::Status(status)),
    }
}

async fn body(response: &mut Response, limit: usize) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
