//! Connections that were made ahead of need, and the task that makes them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_postgres::Client;

use crate::connect::Driver;
use crate::shared::Shared;
use crate::trust::Trust;

/// deadpool makes a connection only for a caller who waits for it; these stand ready for that moment.
#[derive(Default)]
pub(crate) struct Reserve {
    ready: Mutex<Vec<Spare>>,
    filling: tokio::sync::Mutex<()>,
    wanted: Notify,
}

struct Spare {
    client: Client,
    driver: Driver,
    made: Instant,
}

impl Reserve {
    /// How many are fit for use as far as is known; drops those that are not.
    pub(crate) fn len(&self) -> usize {
        let mut ready = self.ready();
        ready.retain(|spare| !spare.client.is_closed());
        ready.len()
    }

    pub(crate) fn clear(&self) {
        self.ready().clear();
    }

    /// Tells the filling task to look again.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    pub(crate) async fn take(&self, trust: &Trust) -> Option<(Client, Driver)> {
        loop {
            let spare = self.ready().pop()?;
            if trust.allows(&spare.client, spare.made).await {
                return Some((spare.client, spare.driver));
            }
        }
    }

    /// Waits for the one in the making.
    pub(crate) async fn take_next(&self, trust: &Trust) -> Option<(Client, Driver)> {
        drop(self.filling.lock().await);
        self.take(trust).await
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, Vec<Spare>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// First pause after a failure; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between attempts at a server that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Keeps `base` connections in existence.
pub(crate) async fn fill(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        if shared.connector.live() >= shared.base {
            shared.reserve.wanted.notified().await;
            continue;
        }
        let filling = shared.reserve.filling.lock().await;
        let made = shared.open(shared.connection_timeout).await;
        match made {
            Ok((client, driver)) => {
                failures = 0;
                shared.reserve.ready().push(Spare { client, driver, made: Instant::now() });
            }
            Err(error) => {
                drop(filling);
                if failures == 0 {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(cause, "No new database connection: {error}");
                }
                tokio::time::sleep(pause(failures)).await;
                failures += 1;
            }
        }
    }
}

/// Doubles with each failure, by chance up to a half shorter or longer: replicas must not come back in step.
pub(crate) fn pause(failures: u32) -> Duration {
    let steps = failures.min(16);
    let pause = (FIRST_PAUSE * 2_u32.pow(steps)).min(LONGEST_PAUSE);
    pause.mul_f64(rand::random_range(0.5..1.5))
}
