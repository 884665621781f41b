//! Answers: messages of users go to the engine, and what the agent says comes back, each once.
//!
//! PostgreSQL knows what is to be done (`parlant_outbox`) and what was done. Every replica takes turns that are due
//! and holds each by a lease. Whoever dies, stalls or loses the database in the middle loses the lease; the next one
//! goes on from what is stored, and what the slow one still writes is refused. The engine may forget everything at any
//! time: it is told again.
//!
//! The messages of a session are answered one after the other, in their order: to say something while the agent
//! answers would make the engine start over.

mod claim;
mod leftovers;
mod reading;
mod turn;

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parlant_db_pool::Pool;
use parlant_engine::Engine;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::metrics::TurnMetrics;
use crate::{Conversations, DeliveryConfig, Live};

pub use reading::Reason;

/// How often the outbox is looked at without being told: for what other replicas left, and for what is to be tried
/// again.
const POLL: Duration = Duration::from_secs(1);
/// How long the end may take, in which leases are given back.
const FAREWELL: Duration = Duration::from_secs(3);

/// Lets the engine answer, as long as it [runs](Self::run). Every replica has one.
pub struct Delivery {
    pool: Pool,
    live: Live,
    engine: Engine,
    config: DeliveryConfig,
    /// Told when a turn may be due.
    wake: Arc<Notify>,
    metrics: TurnMetrics,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Conversations {
    /// Lets an engine answer what users post from now on. Install the metrics recorder first.
    #[must_use]
    pub fn with_engine(mut self, engine: Engine, config: DeliveryConfig) -> (Self, Delivery) {
        let wake = Arc::clone(self.outbox.insert(Arc::default()));
        let (pool, live) = (self.pool.clone(), self.live.clone());
        (self, Delivery { pool, live, engine, config, wake, metrics: TurnMetrics::register() })
    }
}

impl Delivery {
    /// Takes turns until `stop`, then gives back those under way: other replicas go on with them at once. Dropped, it
    /// leaves them to others, who wait for the leases to run out.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let delivery = Arc::new(self);
        let (running, stopped) = watch::channel(());
        let mut turns = JoinSet::new();
        let mut stop = pin!(stop);
        let mut leftovers = pin!(delivery.clear_leftovers());
        let mut failing = false;
        loop {
            while let Some(ended) = turns.try_join_next() {
                report(ended);
            }
            let free = delivery.config.max_turns.saturating_sub(turns.len());
            let claims = tokio::select! {
                () = &mut stop => break,
                claims = delivery.claim(free) => claims,
            };
            match claims {
                Ok(claims) => {
                    failing = false;
                    for claim in claims {
                        let (delivery, mut stopped) = (Arc::clone(&delivery), stopped.clone());
                        turns.spawn(async move {
                            tokio::select! {
                                () = delivery.take(&claim) => {}
                                _ = stopped.changed() => delivery.give_back(&claim, Duration::ZERO).await,
                            }
                        });
                    }
                }
                Err(error) => {
                    // An outage is told by many others.
                    if !failing {
                        tracing::warn!(error = &error as &dyn StdError, "Looking for messages to deliver failed");
                    }
                    failing = true;
                }
            }
            tokio::select! {
                () = &mut stop => break,
                () = &mut leftovers => {}
                () = delivery.wake.notified(), if turns.len() < delivery.config.max_turns => {}
                Some(ended) = turns.join_next() => report(ended),
                () = sleep(POLL) => {}
            }
        }
        drop(running);
        let _ = timeout(FAREWELL, async { while turns.join_next().await.is_some() {} }).await;
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = &error as &dyn StdError, "A turn ended by a defect; it is taken again");
    }
}
