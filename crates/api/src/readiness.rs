use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process still wants requests. Clones share one state: the program sets it, the routes read it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Not draining.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this process wants no new requests: `/health` and `/readyz` answer 503, and every answer closes
    /// its connection. There is no way back.
    pub fn drain(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
