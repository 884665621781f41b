use std::time::Duration;

use metrics::Gauge;
use parlant_db_pool::{self as db_pool, Client, Pool, Statistics};
use parlant_metrics::Exporter;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::check::Running;
use crate::metrics::{DATABASE_UP, single};
use crate::numbers::{AGENTS, count};
use crate::{Check, Outcome};

/// A ping that takes longer is slow.
const SLOW: Duration = Duration::from_secs(1);

/// A ping that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether the database answers, asked on a connection of its own, since the pool is among what is judged.
pub struct Database {
    config: db_pool::Config,
    connection: Mutex<Option<Client>>,
    pool: Pool,
    exporter: Exporter,
    up: Gauge,
}

impl Database {
    /// A check of the database behind `pool`, which is reached by `config`. Install the metrics recorder first.
    #[must_use]
    pub fn new(config: db_pool::Config, pool: Pool, exporter: Exporter) -> Self {
        let up = single(DATABASE_UP, "Whether the last ping of the database was answered.");
        Self { config, connection: Mutex::default(), pool, exporter, up }
    }

    /// Asks over the kept connection, or a new one. Nothing is kept when that fails or takes too long.
    async fn ping(&self) -> Result<(), db_pool::Error> {
        let mut kept = self.connection.lock().await;
        let client = match kept.take() {
            Some(client) if !client.is_closed() => client,
            _ => db_pool::connect(&self.config).await?,
        };
        client.check_connection().await.map_err(|cause| db_pool::Error::ConnectionLost(Some(cause)))?;
        *kept = Some(client);
        Ok(())
    }

    async fn look(&self) -> Outcome {
        let started = Instant::now();
        let answer = timeout(PATIENCE, self.ping()).await;
        let pool = self.pool.statistics();
        self.up.set(f64::from(u8::from(matches!(answer, Ok(Ok(()))))));
        let outcome = match answer {
            Ok(Ok(())) => judge(started.elapsed(), pool),
            Ok(Err(error)) => Outcome::unhealthy("the database cannot be reached").because(error),
            Err(elapsed) => Outcome::unhealthy("the database does not answer").because(elapsed),
        };
        outcome.with_details(json!({
            "agent_count": count(&self.exporter.snapshot(), AGENTS),
            "pool_stats": { "active": pool.active, "idle": pool.idle, "max": pool.max, "waiting": pool.waiting },
        }))
    }
}

impl Check for Database {
    fn name(&self) -> &'static str {
        "database"
    }

    fn critical(&self) -> bool {
        true
    }

    /// The ping ends by itself before.
    fn timeout(&self) -> Duration {
        PATIENCE + SLOW
    }

    fn run(&self) -> Running<'_> {
        Box::pin(self.look())
    }
}

/// How a database is that answers.
fn judge(took: Duration, pool: Statistics) -> Outcome {
    if took > SLOW {
        Outcome::degraded("the database answers slowly")
    } else if pool.active >= pool.max && pool.waiting > 0 {
        Outcome::degraded("all connections are in use, and callers wait for one")
    } else {
        Outcome::healthy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn it_is_degraded_when_slow_or_when_callers_wait_for_a_full_pool() {
        use Status::{Degraded, Healthy};
        for (milliseconds, active, idle, waiting, expected) in [
            (0, 0, 0, 0, Healthy),
            (1, 0, 4, 0, Healthy),
            (1000, 3, 1, 0, Healthy),
            // In full use, and enough of it.
            (1, 4, 0, 0, Healthy),
            // They wait for a connection that is about to be theirs.
            (1, 3, 1, 2, Healthy),
            (1, 4, 0, 1, Degraded),
            (1001, 0, 4, 0, Degraded),
        ] {
            let pool = Statistics { active, idle, max: 4, waiting };
            let outcome = judge(Duration::from_millis(milliseconds), pool);
            assert_eq!(outcome.status, expected, "{milliseconds} ms, {pool:?}");
            assert_eq!(outcome.error.is_some(), expected == Degraded);
        }
    }
}
