//! How the bridge behaves, whatever its source.

use std::time::Duration;

use secrecy::SecretString;

use crate::ConfigError;
use crate::signature::Signer;

/// Settings of an [`AuthBridge`](crate::AuthBridge). `Default` is what the server uses when nothing is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether verdicts are remembered (`ENABLE_CACHING`).
    pub caching: bool,
    /// How long a valid session is believed at most (`AUTH_CACHE_TTL`). Higher: fewer questions to the source, and a
    /// removed member stays longer.
    pub cache_ttl: Duration,
    /// How many valid sessions are remembered, and, counted apart, how many refused tokens (`SESSION_CACHE_MAX_SIZE`).
    pub cache_max_size: u64,
    /// How long a refusal is believed (`AUTH_NEGATIVE_TTL`). Keep it short: a lifted ban waits that long.
    pub negative_ttl: Duration,
    /// How often a source that can be asked about many at once is asked about all sessions in use
    /// (`AUTH_REVALIDATE_INTERVAL`); zero: never. What ends in Sim ends here within it or, if a round comes late,
    /// within twice as long.
    pub revalidate_interval: Duration,
    /// How long after the source became unreachable a valid session is still served (`AUTH_STALE_IF_ERROR`); zero:
    /// not at all.
    pub stale_if_error: Duration,
    /// Sim's `BETTER_AUTH_SECRET`. With it, signatures are checked here and forgeries cost the source nothing.
    pub better_auth_secret: Option<SecretString>,
}

impl Config {
    /// Whether a bridge can be built with this.
    ///
    /// # Errors
    /// When the secret cannot be Sim's.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.signer().map(drop)
    }

    pub(crate) fn signer(&self) -> Result<Option<Signer>, ConfigError> {
        self.better_auth_secret.as_ref().map(Signer::new).transpose()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            caching: true,
            cache_ttl: Duration::from_mins(5),
            cache_max_size: 1000,
            negative_ttl: Duration::from_secs(2),
            revalidate_interval: Duration::from_secs(1),
            stale_if_error: Duration::from_mins(1),
            better_auth_secret: None,
        }
    }
}
