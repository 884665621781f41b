//! What the faces for actix-web and for tower share: who is let in, and how everybody else is told.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::{AuthBridge, Cause, Credential, Identity, Reason, Verdict};

/// When to try again, where the source did not say: an outage's end is noticed within two seconds.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Who calls. As an argument of a handler it is an extractor: without a valid credential the handler does not run.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Arc<Identity>);

impl Deref for Authenticated {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.0
    }
}

/// Why a request is not let in. As an answer it has the status, the one header that belongs to it and a fixed sentence;
/// `Display` is for the log and must not reach a client.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It presents no credential: 401 and `WWW-Authenticate`.
    #[error("no credential")]
    Missing,
    /// Its credential is worth nothing: 401 and `WWW-Authenticate` with `invalid_token`, whatever the reason.
    #[error("credential refused: {0}")]
    Invalid(Reason),
    /// Nobody could say what its credential is worth: 503 and `Retry-After`.
    #[error("credential not judged: {0}")]
    Unknown(Cause),
    /// The program did not put an [`AuthBridge`] where it is looked for: 500.
    #[error("there is no AuthBridge")]
    Unconfigured,
}

impl Rejection {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Missing | Self::Invalid(_) => 401,
            Self::Unknown(_) => 503,
            Self::Unconfigured => 500,
        }
    }

    /// The sentence that the client reads.
    #[must_use]
    pub const fn message(&self) -> &'static str {
        match self {
            Self::Missing => "Authentication required",
            Self::Invalid(_) => "Invalid or expired session token",
            Self::Unknown(_) => "Authentication is out of reach; try again",
            Self::Unconfigured => "The server made a mistake",
        }
    }

    /// Name and value of the header that the status calls for.
    #[must_use]
    pub fn header(&self) -> Option<(&'static str, Cow<'static, str>)> {
        match self {
            Self::Missing => Some(("www-authenticate", "Bearer".into())),
            Self::Invalid(_) => Some(("www-authenticate", r#"Bearer error="invalid_token""#.into())),
            Self::Unknown(cause) => {
                // A part of a second is a whole one for a client.
                let wait = cause.retry_after().unwrap_or(RETRY_AFTER) + Duration::from_millis(999);
                Some(("retry-after", wait.as_secs().max(1).to_string().into()))
            }
            Self::Unconfigured => None,
        }
    }
}

/// Who calls, if anybody says so. A bad credential is never nobody.
pub(crate) async fn admit(
    bridge: &AuthBridge,
    credential: Option<Credential>,
) -> Result<Option<Authenticated>, Rejection> {
    let Some(credential) = credential else {
        return Ok(None);
    };
    match bridge.authenticate(&credential).await {
        Verdict::Valid(identity) => Ok(Some(Authenticated(identity))),
        Verdict::Invalid(reason) => Err(Rejection::Invalid(reason)),
        Verdict::Unknown(cause) => Err(Rejection::Unknown(cause)),
    }
}
