//! Counts what is in use, in the background: whoever asks for metrics never waits for a database.

use std::error::Error as StdError;
use std::time::Duration;

use chrono::Utc;
use parlant_db_pool::Pool;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::conversations::read;
use crate::metrics;
use crate::sql::usage::COUNT_USAGE;

/// The pause is at least this many times what the database took for a count, so that counting never is much of its load.
const REST: u32 = 20;

/// Active sessions and agents and open turns, of all workspaces together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sessions that have not ended.
    pub sessions: u64,
    /// Agents that are not archived.
    pub agents: u64,
    /// Messages that wait for their answer.
    pub outbox_pending: u64,
    /// How long the oldest of these has waited; nothing when there is none.
    pub outbox_oldest: Duration,
}

/// Keeps the metrics of [`Usage`]. Every replica has one, and all of them export the same numbers.
#[derive(Debug)]
pub struct UsageSampler(Pool);

impl UsageSampler {
    /// A sampler that has not counted yet; its numbers are exported from the first count on.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        metrics::describe_usage();
        Self(pool)
    }

    /// Counts at once and then again and again, with a pause of `every` or, where counting is slow, a longer one. While
    /// the database cannot be asked, the last numbers stay, and the time of the sample tells how old they are.
    pub async fn run(self, every: Duration) {
        let mut failing = false;
        loop {
            let pause = match self.count().await {
                Ok((_, took)) => {
                    failing = false;
                    every.max(took * REST)
                }
                Err(error) => {
                    // An outage is told by many others.
                    if !failing {
                        tracing::warn!(error = &error as &dyn StdError, "Counting sessions and agents failed");
                    }
                    failing = true;
                    every
                }
            };
            sleep(pause).await;
        }
    }

    /// Counts once.
    ///
    /// # Errors
    /// When the database could not be asked.
    pub async fn sample(&self) -> Result<Usage, Error> {
        Ok(self.count().await?.0)
    }

    /// Counts once, and tells how long the database took for it.
    async fn count(&self) -> Result<(Usage, Duration), Error> {
        let connection = self.0.get().await?;
        // To wait for a connection is no load.
        let started = Instant::now();
        let row = connection.query_one(&COUNT_USAGE, &[]).await?;
        let took = started.elapsed();
        let count = |column| read("parlant_session", &row, |row| Ok(u64::try_from(row.try_get::<_, i64>(column)?)?));
        let oldest: f64 = read("parlant_outbox", &row, |row| Ok(row.try_get("oldest")?))?;
        let usage = Usage {
            sessions: count("sessions")?,
            agents: count("agents")?,
            outbox_pending: count("pending")?,
            outbox_oldest: Duration::try_from_secs_f64(oldest).unwrap_or_default(),
        };
        metrics::counted(usage, Utc::now());
        Ok((usage, took))
    }
}
