//! The one table of everything that can go wrong, and how a client is told.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use parlant_auth_bridge::{Cause, Permission, Reason};
use serde_json::{Value, json};

use crate::metrics::CLIENT_CLOSED_REQUEST;
use crate::{FieldErrors, Standing};

/// When a client that met an outage should try again. Recovery is noticed within two seconds.
pub(crate) const RETRY_OUTAGE: Duration = Duration::from_secs(2);

/// When a client that met a limit on how many things there may be should try again: time alone does not help it, so
/// rarely.
const RETRY_LIMIT: Duration = Duration::from_mins(1);

/// What a client is told: the HTTP status, the stable code and the fixed sentence of the error envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

const fn class(status: StatusCode, code: &'static str, message: &'static str) -> Class {
    Class { status, code, message }
}

const INVALID_REQUEST: Class = class(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "The request is not valid");
const NOT_FOUND: Class = class(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing at this path");
const METHOD_NOT_ALLOWED: Class =
    class(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "This path does not answer this method");
const INTERNAL_ERROR: Class = class(
    StatusCode::INTERNAL_SERVER_ERROR,
    "INTERNAL_ERROR",
    "The server made a mistake; it has been logged under the request id",
);

impl Class {
    /// The class of an answer that came without one of our errors: the router's own, or another middleware's.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => NOT_FOUND,
            StatusCode::METHOD_NOT_ALLOWED => METHOD_NOT_ALLOWED,
            status if status.is_client_error() => Self { status, ..INVALID_REQUEST },
            _ => INTERNAL_ERROR,
        }
    }
}

/// Why a request was not answered as asked. Handlers and extractors return it; the request middleware turns it into
/// the envelope and logs its cause, once.
///
/// `Display` is for the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// Body, query, path or header do not say what they must.
    #[error("invalid request: {0}")]
    InvalidRequest(FieldErrors),
    /// The client went away before its body was complete. Nobody reads the answer.
    #[error("the client went away")]
    ClientGone,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    RequestTimeout,
    /// The body is larger than is read.
    #[error("the body is too large")]
    PayloadTooLarge,
    /// The body is not declared as JSON.
    #[error("the body is not declared as JSON")]
    UnsupportedMediaType,
    /// No credential came with the request.
    #[error("no credential")]
    AuthenticationRequired,
    /// The credential is worth nothing.
    #[error("credential refused: {0}")]
    InvalidToken(Reason),
    /// The caller may not do this in the workspace, whether or not there is such a workspace.
    #[error("{user_id} lacks {required} in the workspace")]
    WorkspaceAccessDenied {
        /// As the client named it.
        workspace_id: String,
        /// The caller.
        user_id: String,
        /// What the caller would have needed.
        required: Permission,
    },
    /// A page of another origin would use the caller's cookies.
    #[error("another origin's page")]
    OriginRefused,
    /// No such agent in any workspace of the caller's.
    #[error("no such agent")]
    AgentNotFound,
    /// No such session among those that the caller may see.
    #[error("no such session")]
    SessionNotFound,
    /// Another active agent of the workspace has the name.
    #[error("the agent's name is taken")]
    AgentNameTaken,
    /// The session takes no more messages.
    #[error("the session has ended")]
    SessionEnded,
    /// `If-Match` names another version than the current one.
    #[error("If-Match failed")]
    VersionConflict,
    /// There are as many agents or sessions as there may be.
    #[error("there are {limit} already")]
    LimitExceeded {
        /// How many there may be.
        limit: u64,
    },
    /// Too much was asked in too short a time.
    #[error("a rate limit is used up")]
    RateLimited(Standing),
    /// Something that the request needs is out of reach for now.
    #[error("unavailable")]
    Unavailable(#[source] BoxError),
    /// A defect.
    #[error("internal error")]
    Internal(#[source] BoxError),
    /// A handler panicked. The panic hook has logged it.
    #[error("panicked")]
    Panicked,
}

/// The cause of a failure, for the log.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The source of sessions could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct AuthUnknown(Cause);

impl From<Cause> for ApiError {
    fn from(cause: Cause) -> Self {
        Self::Unavailable(Box::new(AuthUnknown(cause)))
    }
}

impl ApiError {
    /// One field, header or parameter that is wrong, and what it must be.
    pub fn field(name: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest(FieldErrors::one(name, message))
    }

    pub(crate) fn class(&self) -> Class {
        match self {
            Self::InvalidRequest(_) => INVALID_REQUEST,
            Self::ClientGone => {
                let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST);
                class(status, "CLIENT_GONE", "The client went away")
            }
            Self::RequestTimeout => {
                class(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The request's body did not arrive in time")
            }
            Self::PayloadTooLarge => {
                class(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "The request's body is too large")
            }
            Self::UnsupportedMediaType => class(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "The request's body must be application/json in UTF-8",
            ),
            Self::AuthenticationRequired => {
                class(StatusCode::UNAUTHORIZED, "AUTHENTICATION_REQUIRED", "Authentication required")
            }
            Self::InvalidToken(_) => {
                class(StatusCode::UNAUTHORIZED, "INVALID_TOKEN", "Invalid or expired session token")
            }
            Self::WorkspaceAccessDenied { .. } => {
                class(StatusCode::FORBIDDEN, "WORKSPACE_ACCESS_DENIED", "Access denied to workspace ID")
            }
            Self::OriginRefused => {
                class(StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED", "Pages of this origin may not do this")
            }
            Self::AgentNotFound => class(StatusCode::NOT_FOUND, "AGENT_NOT_FOUND", "Agent not found"),
            Self::SessionNotFound => class(StatusCode::NOT_FOUND, "SESSION_NOT_FOUND", "Session not found"),
            Self::AgentNameTaken => {
                class(StatusCode::CONFLICT, "AGENT_NAME_TAKEN", "An agent of the workspace has this name")
            }
            Self::SessionEnded => class(StatusCode::CONFLICT, "SESSION_ENDED", "The session has ended"),
            Self::VersionConflict => class(
                StatusCode::PRECONDITION_FAILED,
                "VERSION_CONFLICT",
                "It was changed since the version that If-Match names",
            ),
            Self::LimitExceeded { .. } => {
                class(StatusCode::TOO_MANY_REQUESTS, "WORKSPACE_LIMIT_EXCEEDED", "As many as allowed exist already")
            }
            Self::RateLimited(_) => {
                class(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", "Too many requests; try again later")
            }
            Self::Unavailable(_) => class(
                StatusCode::SERVICE_UNAVAILABLE,
                "SERVICE_UNAVAILABLE",
                "Something that this needs is out of reach; try again",
            ),
            Self::Internal(_) | Self::Panicked => INTERNAL_ERROR,
        }
    }

    /// The `details` of the envelope.
    pub(crate) fn details(&self) -> Option<Value> {
        match self {
            Self::InvalidRequest(fields) => Some(json!({ "field_errors": fields })),
            Self::WorkspaceAccessDenied { workspace_id, user_id, required } => Some(json!({
                "workspace_id": workspace_id,
                "user_id": user_id,
                "required_permission": required,
            })),
            Self::LimitExceeded { limit } => Some(json!({ "limit": limit })),
            _ => None,
        }
    }

    /// The headers that the status calls for.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::Unavailable(cause) => {
                let told = cause.downcast_ref::<AuthUnknown>().and_then(|AuthUnknown(cause)| cause.retry_after());
                // Sim may have said when.
                vec![retry_after(told.unwrap_or(RETRY_OUTAGE))]
            }
            Self::LimitExceeded { limit } => {
                let left = rate_limit(*limit, 0, RETRY_LIMIT);
                left.into_iter().chain([retry_after(RETRY_LIMIT)]).collect()
            }
            Self::RateLimited(empty) => empty.headers().into_iter().chain([retry_after(empty.wait)]).collect(),
            Self::AuthenticationRequired => challenge(r#"Bearer realm="parlant""#),
            Self::InvalidToken(_) => challenge(r#"Bearer realm="parlant", error="invalid_token""#),
            _ => Vec::new(),
        }
    }

    /// Writes the cause to the log: a defect as an error, an outage as a warning, what the client did wrong for those
    /// who debug.
    pub(crate) fn log(&self) {
        let code = self.class().code;
        match self {
            Self::Internal(cause) => {
                tracing::error!(code, error = &**cause as &dyn Error, "Request failed");
            }
            Self::Unavailable(cause) => {
                tracing::warn!(code, error = &**cause as &dyn Error, "Request not served");
            }
            // Logged where it happened, with its place.
            Self::Panicked => {}
            refused => tracing::debug!(code, error = refused as &dyn Error, "Request refused"),
        }
    }
}

fn retry_after(wait: Duration) -> (HeaderName, HeaderValue) {
    (header::RETRY_AFTER, whole_seconds(wait).max(1).into())
}

/// The three headers of a limit.
pub(crate) fn rate_limit(limit: u64, remaining: u64, reset: Duration) -> [(HeaderName, HeaderValue); 3] {
    [
        (HeaderName::from_static("x-ratelimit-limit"), limit.into()),
        (HeaderName::from_static("x-ratelimit-remaining"), remaining.into()),
        (HeaderName::from_static("x-ratelimit-reset"), whole_seconds(reset).into()),
    ]
}

/// For a client, a part of a second is a whole one.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn challenge(value: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static(value))]
}

/// The status alone: the request middleware, which knows the request id, writes the rest.
impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.class().status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_says_when_to_come_back_as_sim_did() {
        let wait = |cause| ApiError::from(cause).headers()[0].1.to_str().map(str::to_owned).ok();
        let cause = Cause::new("an outage");
        assert_eq!(wait(cause.clone()).as_deref(), Some("2"));
        assert_eq!(wait(cause.clone().with_retry_after(Duration::from_secs(7))).as_deref(), Some("7"));
        assert_eq!(wait(cause.clone().with_retry_after(Duration::from_millis(6100))).as_deref(), Some("7"));
        assert_eq!(wait(cause.with_retry_after(Duration::ZERO)).as_deref(), Some("1"));
    }
}
