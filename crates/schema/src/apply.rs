use std::time::Duration;

use parlant_db_pool::Config;
use serde::Serialize;
use tokio_postgres::Client;

use crate::error::Error;
use crate::lock;
use crate::migrations::{Migrations, Version};
use crate::runner::Session;

/// How patient `apply` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyOptions {
    /// The longest wait for another run to end.
    pub lock_wait: Duration,
    /// The longest that one try waits for the tables a file changes. Everybody who wants these tables meanwhile
    /// queues behind it, so it is also the longest stall that a migration may cause.
    pub lock_timeout: Duration,
    /// The longest that a file is tried again and again, and the longest single wait of a `-- no-transaction`
    /// file, which stalls nobody.
    pub patience: Duration,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self {
            lock_wait: Duration::from_mins(1),
            lock_timeout: Duration::from_secs(2),
            patience: Duration::from_mins(2),
        }
    }
}

/// What `apply` did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The files that this run applied, in order; empty if there was nothing to do.
    pub applied: Vec<Ran>,
}

/// A file that ran.
#[derive(Debug, Clone, Serialize)]
pub struct Ran {
    /// Which file.
    #[serde(flatten)]
    pub version: Version,
    /// How long it took, retries included, in milliseconds.
    pub duration_ms: u64,
}

impl Ran {
    pub(crate) fn new(version: Version, duration: Duration) -> Self {
        Self { version, duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl Migrations {
    /// Brings a database to the state of these files. Any number of runs may start at once: one works, the others
    /// wait and find nothing left to do. A run that is killed at any point is continued by the next one.
    ///
    /// `config` must reach PostgreSQL itself or a session-pooling pooler: the lock belongs to a session.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] before anything is changed; [`Error::Locked`], [`Error::Blocked`] when somebody is in
    /// the way; [`Error::Failed`] when a file fails. Files before the failing one stay applied.
    pub async fn apply(&self, config: &Config, options: &ApplyOptions) -> Result<Report, Error> {
        if !config.prepared_statements {
            tracing::warn!(
                "Prepared statements are off, as for a transaction-pooling PgBouncer; \
                 migrations need a direct connection"
            );
        }
        let mut client = parlant_db_pool::connect(config).await?;
        if self.nothing_left(&client).await? || !lock::wait_for_turn(&client, self, options.lock_wait).await? {
            return Ok(Report { applied: Vec::new() });
        }
        let status = self.status(&client).await?.applicable()?;
        let pending: Vec<_> = self.files.iter().filter(|file| status.pending.contains(&file.version)).collect();
        let session = Session::prepare(&mut client, options, false).await?;
        Ok(Report { applied: session.run(&pending).await? })
    }

    /// Whether a database that these files may be applied to has all of them.
    pub(crate) async fn nothing_left(&self, client: &Client) -> Result<bool, Error> {
        Ok(self.status(client).await?.applicable()?.pending.is_empty())
    }
}
