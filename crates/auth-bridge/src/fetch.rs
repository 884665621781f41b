//! A careful HTTP client: time limits, no redirects, no proxies from the environment, and no more of a body than
//! was bargained for.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};

use crate::Cause;

/// No server may send us away for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// What went wrong when a server was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer")]
    Transport(#[source] reqwest::Error),
    #[error("status {}", .0.code)]
    Status(Status),
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// Without the library's own words: they quote what was found, and that may be an address or a name.
    #[error("not the JSON that was expected, at byte {column} of line {line}")]
    Garbage { line: usize, column: usize },
}

impl From<serde_json::Error> for FetchError {
    fn from(error: serde_json::Error) -> Self {
        Self::Garbage { line: error.line(), column: error.column() }
    }
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // The address is configuration, and configuration does not belong into every log line.
        Self::Transport(error.without_url())
    }
}

impl FetchError {
    pub(crate) fn cause(self, summary: &'static str) -> Cause {
        let is_answer = match &self {
            Self::Transport(_) => false,
            Self::Status(status) => !status.code.is_server_error(),
            Self::TooLarge(_) | Self::Garbage { .. } => true,
        };
        let retry_after = if let Self::Status(status) = &self { status.retry_after } else { None };
        let mut cause = Cause::with_error(summary, self);
        if is_answer {
            cause = cause.as_answer();
        }
        if let Some(wait) = retry_after {
            cause = cause.with_retry_after(wait);
        }
        cause
    }
}

/// How an answer begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) code: StatusCode,
    retry_after: Option<Duration>,
}

impl Status {
    /// Better Auth says `X-Retry-After` and proxies `Retry-After`. Of the latter's two forms, the date is rare.
    fn of(response: &Response) -> Self {
        let seconds = |name| response.headers().get(name)?.to_str().ok()?.trim().parse().ok();
        let wait: Option<u64> = seconds("x-retry-after").or_else(|| seconds("retry-after"));
        Self { code: response.status(), retry_after: wait.map(|wait| Duration::from_secs(wait).min(RETRY_AFTER_MAX)) }
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
) -> Result<(Status, Vec<u8>), FetchError> {
    let mut response = request.timeout(timeout).send().await?;
    let body = body(&mut response, limit).await?;
    Ok((Status::of(&response), body))
}

/// As [`send`], for the answers that count only when their status is 200.
pub(crate) async fn send_for_ok(
    request: RequestBuilder,
    timeout: Duration,
    limit: usize,
) -> Result<Vec<u8>, FetchError> {
    match send(request, timeout, limit).await? {
        (Status { code: StatusCode::OK, .. }, body) => Ok(body),
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
