//! The three answers to "who is this?".

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Identity;

/// What became of a credential. An outage is never `Invalid`: a caller who gets `Unknown` was not refused, and a
/// program that signs users out on `Invalid` must not do so on `Unknown`.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The credential is good, and this is whom it stands for.
    Valid(Arc<Identity>),
    /// The credential is worth nothing.
    Invalid(Reason),
    /// The source could not be asked. Never cached; ask again.
    Unknown(Cause),
}

/// Why there is no identity: the two ways in which a [`Source`](crate::Source) can fail to give one.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Asked and answered: the credential is worth nothing.
    Invalid(Reason),
    /// There was no answer.
    Unknown(Cause),
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::Invalid(reason)
    }
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self::Unknown(cause)
    }
}

impl From<Result<Arc<Identity>, Refusal>> for Verdict {
    fn from(result: Result<Arc<Identity>, Refusal>) -> Self {
        match result {
            Ok(identity) => Self::Valid(identity),
            Err(Refusal::Invalid(reason)) => Self::Invalid(reason),
            Err(Refusal::Unknown(cause)) => Self::Unknown(cause),
        }
    }
}

/// Why a credential is refused. For logs and metrics: a client is told the same sentence for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not a token of any known form.
    Malformed,
    /// A cookie without a signature, which Sim refuses too.
    Unsigned,
    /// A well-formed token of a kind that this configuration has no means to check.
    Unsupported,
    /// The signature is not the key's.
    BadSignature,
    /// Signed out, revoked, or never issued.
    UnknownSession,
    /// Past its end.
    Expired,
    /// The user is banned.
    Banned,
    /// A JWT names a key that its issuer does not publish.
    UnknownKey,
    /// A JWT lacks a claim that is required, or has the wrong issuer, audience or time.
    BadClaims,
    /// A JWT's subject is no user of Sim's.
    UnknownUser,
}

impl Reason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Unsigned,
        Self::Unsupported,
        Self::BadSignature,
        Self::UnknownSession,
        Self::Expired,
        Self::Banned,
        Self::UnknownKey,
        Self::BadClaims,
        Self::UnknownUser,
    ];

    /// The value of the `reason` label in `parlant_auth_denials_total`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsigned => "unsigned",
            Self::Unsupported => "unsupported",
            Self::BadSignature => "bad_signature",
            Self::UnknownSession => "unknown_session",
            Self::Expired => "expired",
            Self::Banned => "banned",
            Self::UnknownKey => "unknown_key",
            Self::BadClaims => "bad_claims",
            Self::UnknownUser => "unknown_user",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a source could not be asked. `Display` is the whole chain of errors on one line, for the log; it must not
/// reach a client, because drivers' messages name hosts.
#[derive(Clone, Debug)]
pub struct Cause {
    summary: &'static str,
    error: Option<Arc<dyn Error + Send + Sync>>,
    is_answer: bool,
    retry_after: Option<Duration>,
}

impl Cause {
    /// A failure that has no error value of its own.
    #[must_use]
    pub const fn new(summary: &'static str) -> Self {
        Self { summary, error: None, is_answer: false, retry_after: None }
    }

    /// A failure and the error behind it.
    #[must_use]
    pub fn with_error(summary: &'static str, error: impl Error + Send + Sync + 'static) -> Self {
        Self { error: Some(Arc::new(error)), ..Self::new(summary) }
    }

    /// The source did answer, but not to the question: there is no reason not to ask it about others.
    #[must_use]
    pub const fn as_answer(mut self) -> Self {
        self.is_answer = true;
        self
    }

    /// The source said when to ask again.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) const fn is_answer(&self) -> bool {
        self.is_answer
    }

    /// How long to wait before asking again, where the source said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The error behind it, for programs that look into it.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.summary)?;
        let mut next = self.error().map(|error| error as &(dyn Error + 'static));
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

/// Its `Display` is the whole chain already, so it has no source.
impl Error for Cause {}
