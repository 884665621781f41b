use std::time::Duration;

/// Why a webhook or heartbeat cannot be used at all. Nothing here shows the URL, which is a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Not a URL, or one that would send the secret over the network in the clear.
    #[error("must be an https:// URL")]
    Url,
    /// No HTTP client could be made.
    #[error("no HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why a notification was not delivered. Nothing here may show the webhook's URL, which is a secret.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It would be refused again: the receiver is gone, or the message is not to its taste.
    #[error("the message is refused: {0}")]
    Refused(
        /// The receiver's words, such as `status 404, no_service`.
        String,
    ),
    /// The other side is busy or broken.
    #[error("no messages are taken now: {reason}")]
    Later {
        /// The receiver's words, such as `status 429`.
        reason: String,
        /// The wait that it asks for (`Retry-After`).
        after: Option<Duration>,
    },
    /// No answer in time. The message may have arrived.
    #[error("no answer")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SendError {
    /// Whether sending the same once more is pointless.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// How long the other side asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => *after,
            Self::Refused(_) | Self::Unreachable(_) => None,
        }
    }
}
