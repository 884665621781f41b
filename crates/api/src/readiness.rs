use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Whether this process still wants requests. Clones share one state: the program sets it, the routes read it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    draining: AtomicBool,
    under_way: AtomicUsize,
    drained: Notify,
}

impl Readiness {
    /// Not draining.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this process wants no new requests: `/health` and `/readyz` answer 503, and every answer closes
    /// its connection. Streams end. There is no way back.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
        self.0.drained.notify_waiters();
    }

    /// Whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Waits until it was. It may be dropped and called again.
    pub(crate) async fn drained(&self) {
        // From here on it would be heard of.
        let told = self.0.drained.notified();
        if !self.is_draining() {
            told.await;
        }
    }

    /// How many requests have begun and not left their line in the log. Those that the end of a stop's grace cuts off
    /// do so on their workers' threads, soon after.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::Acquire)
    }

    pub(crate) fn begin(&self) {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.0.under_way.fetch_sub(1, Ordering::Release);
    }
}
