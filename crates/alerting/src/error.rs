use std::time::Duration;

/// Why a webhook cannot be used at all. Nothing here shows the URL, which is a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Not a URL, or one that would send the secret over the network in the clear.
    #[error("must be an https:// URL")]
    Url,
    /// No HTTP client could be made.
    #[error("no HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why a notification was not delivered. Nothing here shows the webhook's URL, which is a secret.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It would be refused again: the webhook is gone, or the message is not to its taste.
    #[error("the webhook refuses the message: status {status}{}", .reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Slack's word for it, such as `no_service`.
        reason: Option<String>,
    },
    /// The other side is busy or broken.
    #[error("the webhook takes no messages now: status {status}")]
    Later {
        /// The HTTP status.
        status: u16,
        /// The wait that it asks for (`Retry-After`).
        after: Option<Duration>,
    },
    /// No answer in time. The message may have arrived.
    #[error("no answer from the webhook")]
    Unreachable(#[source] reqwest::Error),
}

impl SendError {
    /// Whether sending the same once more is pointless.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// How long the other side asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => *after,
            Self::Refused { .. } | Self::Unreachable(_) => None,
        }
    }
}
