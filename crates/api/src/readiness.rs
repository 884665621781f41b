use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;
use uuid::Uuid;

/// Which process this is and whether it still wants requests. Clones share one state: the program sets it, the routes
/// read it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<State>);

#[derive(Debug)]
struct State {
    start_id: Uuid,
    draining: AtomicBool,
    connections: AtomicUsize,
    under_way: AtomicUsize,
    drained: Notify,
}

/// A connection, counted until it is dropped.
pub(crate) struct Connected(Arc<State>);

impl Readiness {
    /// Not draining.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells this process from the one before it and the one after it, at the same address and of the same version.
    #[must_use]
    pub fn start_id(&self) -> Uuid {
        self.0.start_id
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

    /// How many connections are open that a worker has taken up.
    pub(crate) fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Acquire)
    }

    pub(crate) fn connect(&self) -> Connected {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(&self.0))
    }

    pub(crate) fn begin(&self) {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.0.under_way.fetch_sub(1, Ordering::Release);
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            start_id: Uuid::now_v7(),
            draining: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            drained: Notify::new(),
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Release);
    }
}
