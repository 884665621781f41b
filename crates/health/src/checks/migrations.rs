use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::Gauge;
use parlant_db_pool as db_pool;
use parlant_schema::{Error, State};
use serde_json::json;
use tokio::time::Instant;

use crate::check::Running;
use crate::metrics::{MIGRATIONS_PENDING, single};
use crate::{Check, Outcome};

/// For how long a schema that is up to date is believed to be so. It takes a person to change that.
const BELIEVED: Duration = Duration::from_mins(1);

/// Reads in one snapshot, and does not wait for a migration that has a table locked.
const LIMITED: &str = "-- migrations_check\nbegin read only; set local statement_timeout = '2s'";

/// Whether the schema is the one that this program was built for.
pub struct Migrations {
    config: db_pool::Config,
    /// When it was last seen to be so.
    up_to_date: Mutex<Option<Instant>>,
    pending: Gauge,
}

impl Migrations {
    /// A check of the database that is reached by `config`, on a connection of its own for each look: what it waits for
    /// must not be in the way of the ping or of requests. Install the metrics recorder first.
    #[must_use]
    pub fn new(config: db_pool::Config) -> Self {
        let pending = single(MIGRATIONS_PENDING, "Migrations that wait to be applied.");
        Self { config, up_to_date: Mutex::default(), pending }
    }

    async fn look(&self) -> Outcome {
        if self.up_to_date().is_some_and(|seen| seen.elapsed() < BELIEVED) {
            return judge(State::UpToDate, 0);
        }
        match self.status().await {
            Ok(status) => {
                self.pending.set(status.pending.len() as f64);
                *self.up_to_date() = (status.state == State::UpToDate).then(Instant::now);
                judge(status.state, status.pending.len())
            }
            Err(error) => Outcome::degraded("the schema cannot be read").because(error),
        }
    }

    async fn status(&self) -> Result<parlant_schema::Status, Error> {
        let client = db_pool::connect(&self.config).await?;
        client.batch_execute(LIMITED).await?;
        parlant_schema::status(&client).await
    }

    fn up_to_date(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.up_to_date.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check for Migrations {
    fn name(&self) -> &'static str {
        "migrations"
    }

    fn run(&self) -> Running<'_> {
        Box::pin(self.look())
    }
}

fn judge(state: State, pending: usize) -> Outcome {
    let outcome = match state {
        State::UpToDate => Outcome::healthy(),
        State::Pending => Outcome::degraded("migrations wait to be applied"),
        State::Newer => Outcome::degraded("the schema is newer than this program, which would not start again"),
        State::Diverged => Outcome::degraded("the schema is not what the migrations made"),
    };
    outcome.with_details(json!({ "state": state, "pending": pending }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn every_state_but_one_needs_attention_and_none_is_an_outage() {
        use Status::{Degraded, Healthy};
        for (state, pending, expected) in [
            (State::UpToDate, 0, Healthy),
            (State::Pending, 2, Degraded),
            (State::Newer, 0, Degraded),
            (State::Diverged, 0, Degraded),
        ] {
            let outcome = judge(state, pending);
            assert_eq!(outcome.status, expected, "{state:?}");
            assert_eq!(outcome.details["pending"], pending);
        }
    }
}
