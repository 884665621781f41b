//! Whether the process should be given requests, as far as is known.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use parlant_db_pool as db_pool;
use serde::Serialize;

use crate::BoxError;

/// The last state of health that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// A hard dependency does not answer, or has not been asked yet.
    Unhealthy,
    /// It answers, slowly.
    Degraded,
    /// All is well.
    Healthy,
}

/// What `/health` and `/readyz` answer from. Clones share one state: the server feeds it, the routes read it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// `Health as u8`.
    health: AtomicU8,
    draining: AtomicBool,
}

impl Readiness {
    /// Unhealthy until told otherwise, and not draining.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of what a check has found.
    pub fn set(&self, health: Health) {
        self.0.health.store(health as u8, Ordering::Relaxed);
    }

    /// The last state found.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.0.health.load(Ordering::Relaxed) {
            0 => Health::Unhealthy,
            1 => Health::Degraded,
            _ => Health::Healthy,
        }
    }

    /// From now on this process wants no new requests: `/health` and `/readyz` answer 503, and every answer closes
    /// its connection. There is no way back.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }
}

/// How long after a good ping the next one follows.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long after a failed ping the next one follows, so that recovery is noticed within a second.
const INTERVAL_DOWN: Duration = Duration::from_millis(500);

/// A ping that takes longer is degraded health.
const SLOW: Duration = Duration::from_secs(1);

/// A ping that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Pings the database for ever, on a connection of its own, since the pool is among what is judged. Spawn it, and
/// abort it when the server has stopped.
pub async fn probe_database(config: db_pool::Config, readiness: Readiness) {
    let mut connection = None;
    loop {
        let started = Instant::now();
        let result = match tokio::time::timeout(TIMEOUT, ping(&config, &mut connection)).await {
            Ok(result) => result,
            Err(elapsed) => Err(elapsed.into()),
        };
        let health = match &result {
            Ok(()) if started.elapsed() <= SLOW => Health::Healthy,
            Ok(()) => Health::Degraded,
            Err(_) => Health::Unhealthy,
        };
        if health != readiness.health() {
            let error = result.as_ref().err().map(|error| &**error as &dyn Error);
            tracing::warn!(?health, error, "Database's health changed");
        }
        readiness.set(health);
        let pause = if result.is_ok() { INTERVAL } else { INTERVAL_DOWN };
        tokio::time::sleep(pause).await;
    }
}

/// Asks over the kept connection, or a new one. Nothing is kept when that fails or takes too long.
async fn ping(config: &db_pool::Config, connection: &mut Option<db_pool::Client>) -> Result<(), BoxError> {
    let client = match connection.take() {
        Some(client) if !client.is_closed() => client,
        _ => db_pool::connect(config).await?,
    };
    client.check_connection().await?;
    *connection = Some(client);
    Ok(())
}
