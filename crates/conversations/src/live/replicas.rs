//! Notices to and from the other processes on the same database.

use std::mem;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use parlant_db_pool::{Config, Heard, Listener, Notifier};
use uuid::Uuid;

use super::wire::{pack, unpack};
use super::{Live, Notice, Signal};
use crate::metrics::LiveMetrics;

const CHANNEL: &str = "parlant_live";
/// Whatever is announced within this time of a `NOTIFY` goes out with the next one: each takes a lock that the whole
/// cluster shares.
const PAUSE: Duration = Duration::from_millis(20);
/// How long to leave a server alone that did not take a `NOTIFY`.
const RETRY: Duration = Duration::from_secs(1);
/// Notices that wait to be sent at most.
const WAITING: usize = 4096;

/// What the others are yet to be told.
#[derive(Default)]
pub(super) struct Outbox {
    /// Somebody will.
    open: bool,
    notices: Vec<Arc<Notice>>,
    /// There were more.
    lost: bool,
}

impl Live {
    /// Exchanges notices with the other processes on the same database, over one connection of its own, for as long
    /// as it is polled. Without it, and while the database is away, streams learn of what other processes did when
    /// they look at the table by themselves; so it is, too, where a transaction-pooling `PgBouncer` is in between:
    /// there this returns at once.
    ///
    /// Install the metrics recorder first.
    pub async fn run(self, config: Config) {
        let metrics = LiveMetrics::register();
        let listener = match Listener::new(&config, CHANNEL) {
            Ok(Some(listener)) => listener,
            Ok(None) => {
                tracing::warn!("Behind a transaction-pooling PgBouncer, streams learn late of what other servers do");
                return;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "Notices cannot be exchanged");
                return;
            }
        };
        self.outbox().open = true;
        let origin = Uuid::now_v7();
        let notifier = listener.notifier();
        tokio::join!(self.hear(origin, listener, metrics), self.tell(origin, notifier));
    }

    /// Has the others told.
    pub(super) fn tell_others(&self, notice: Arc<Notice>) {
        let mut outbox = self.outbox();
        if !outbox.open {
            return;
        }
        if outbox.notices.len() < WAITING {
            outbox.notices.push(notice);
        } else {
            outbox.lost = true;
        }
        self.0.told.notify_one();
    }

    async fn hear(&self, origin: Uuid, mut listener: Listener, metrics: LiveMetrics) {
        loop {
            match listener.next().await {
                Heard::Connected => {
                    metrics.connected.set(1.0);
                    self.deliver(&Signal::Missed);
                }
                Heard::Lost => metrics.connected.set(0.0),
                Heard::Notification(payload) => {
                    for signal in unpack(origin, &payload) {
                        self.deliver(&signal);
                    }
                }
            }
        }
    }

    async fn tell(&self, origin: Uuid, notifier: Notifier) {
        loop {
            self.0.told.notified().await;
            let (notices, lost) = {
                let mut outbox = self.outbox();
                (mem::take(&mut outbox.notices), mem::take(&mut outbox.lost))
            };
            match notifier.notify(&pack(origin, &notices, lost)).await {
                Ok(()) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "Other servers were not told");
                    self.outbox().lost = true;
                    self.0.told.notify_one();
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
