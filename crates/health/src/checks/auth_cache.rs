use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parlant_auth_bridge::AuthBridge;
use serde_json::json;
use tokio::time::Instant;

use crate::check::Running;
use crate::numbers::round;
use crate::window::Window;
use crate::{Check, Outcome};

/// Over how long hits are counted.
const WINDOW: Duration = Duration::from_mins(5);
/// With fewer look-ups than this, their ratio says nothing.
const ENOUGH: u64 = 100;

/// Whether the session cache spares its source the questions that it is there for.
pub struct AuthCache {
    auth: AuthBridge,
    /// Hits and misses.
    recent: Mutex<Window<(u64, u64)>>,
}

impl AuthCache {
    /// A check of the bridge's cache.
    #[must_use]
    pub fn new(auth: AuthBridge) -> Self {
        Self { auth, recent: Mutex::new(Window::new(WINDOW)) }
    }

    fn look(&self) -> Outcome {
        let statistics = self.auth.statistics();
        let now = (statistics.hits, statistics.misses);
        let (before, _) = self.recent.lock().unwrap_or_else(PoisonError::into_inner).slide(Instant::now(), now);
        let (outcome, hit_ratio) = judge(now.0 - before.0, now.1 - before.1);
        outcome.with_details(json!({ "cache_stats": statistics, "hit_ratio": hit_ratio.map(round) }))
    }
}

impl Check for AuthCache {
    fn name(&self) -> &'static str {
        "auth_cache"
    }

    fn run(&self) -> Running<'_> {
        Box::pin(async { self.look() })
    }
}

/// The verdict, and the part of the look-ups that hit, if there were any.
fn judge(hits: u64, misses: u64) -> (Outcome, Option<f64>) {
    let all = hits + misses;
    let ratio = (all > 0).then(|| hits as f64 / all as f64);
    match ratio {
        Some(ratio) if all >= ENOUGH && ratio < 0.5 => {
            (Outcome::degraded("fewer than half of the look-ups hit"), Some(ratio))
        }
        ratio => (Outcome::healthy(), ratio),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn it_is_degraded_only_when_many_look_ups_miss() {
        use Status::{Degraded, Healthy};
        for (hits, misses, expected, ratio) in [
            (0, 0, Healthy, None),
            (0, 99, Healthy, Some(0.0)),
            (0, 100, Degraded, Some(0.0)),
            (49, 51, Degraded, Some(0.49)),
            (50, 50, Healthy, Some(0.5)),
            (1000, 10, Healthy, Some(1000.0 / 1010.0)),
        ] {
            let (outcome, found) = judge(hits, misses);
            assert_eq!((outcome.status, found), (expected, ratio), "{hits} {misses}");
        }
    }
}
