//! One check, run for ever.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::belief::{Belief, Observed};
use crate::metrics::CheckMetrics;
use crate::{Check, CheckReport, Outcome, Status};

/// How soon a look is repeated that contradicts what is believed, or that found a critical check unhealthy: an outage
/// and its end are known within seconds, however rarely all is checked.
const RECHECK: Duration = Duration::from_millis(500);

/// A look that ended this recently is a fresh one to whoever asks, so that nobody can cause more looks than this.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// A check, and what is known of it.
pub(crate) struct Slot {
    pub(crate) check: Arc<dyn Check>,
    belief: Mutex<Belief>,
    /// When the last look ended whose result is no longer in doubt.
    ended: watch::Sender<Option<Instant>>,
    /// Somebody wants a fresh look.
    wanted: Notify,
    metrics: CheckMetrics,
}

impl Slot {
    pub(crate) fn new(check: Arc<dyn Check>) -> Self {
        Self {
            belief: Mutex::new(Belief::new(CheckReport::unknown(check.critical()))),
            ended: watch::Sender::default(),
            wanted: Notify::new(),
            metrics: CheckMetrics::register(check.name()),
            check,
        }
    }

    /// The last look that counts.
    pub(crate) fn report(&self) -> CheckReport {
        self.belief().report.clone()
    }

    fn belief(&self) -> MutexGuard<'_, Belief> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks every `interval`, and whenever somebody wants a fresh look; calls `changed` when the status is another one.
    pub(crate) async fn watch(&self, interval: Duration, changed: impl Fn()) {
        let mut look = None;
        loop {
            let started = Instant::now();
            let (mut seen, mut doubtful) = self.look(&mut look, &changed).await;
            if doubtful {
                sleep(RECHECK).await;
                (seen, doubtful) = self.look(&mut look, &changed).await;
            }
            self.ended.send_replace(Some(Instant::now()));
            let urgent = doubtful || (seen == Status::Unhealthy && self.check.critical());
            let next = if urgent { Instant::now() + RECHECK } else { started + interval };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.outdated() => {}
            }
        }
    }

    /// Waits until there was a look that somebody who asks now may call fresh.
    pub(crate) async fn fresh(&self) {
        let asked = Instant::now();
        let mut ended = self.ended.subscribe();
        let is_fresh = |ended: &Option<Instant>| ended.is_some_and(|ended| ended + FRESH > asked);
        if !is_fresh(&ended.borrow()) {
            self.wanted.notify_one();
        }
        // It fails when `self` is gone.
        let _ = ended.wait_for(is_fresh).await;
    }

    /// Waits until somebody wants a fresh look and the last one is not.
    async fn outdated(&self) {
        loop {
            self.wanted.notified().await;
            if self.ended.borrow().is_none_or(|ended| ended.elapsed() >= FRESH) {
                return;
            }
        }
    }

    /// Looks once: what was seen, and whether it contradicts what is believed.
    async fn look(&self, last: &mut Option<AbortOnDropHandle<Outcome>>, changed: impl Fn()) -> (Status, bool) {
        let started = Instant::now();
        let outcome = self.run(last).await;
        let (took, at) = (started.elapsed(), Utc::now());
        let seen = outcome.status;
        let (observed, believed) = {
            let mut belief = self.belief();
            let look = CheckReport::new(&outcome, self.check.critical(), took, at);
            (belief.observe(look), belief.report.status)
        };
        self.metrics.looked(believed, took, at);
        if matches!(observed, Observed::Changed(_)) {
            changed();
        }
        if let Observed::Changed(before) = observed
            && (before.is_some() || seen != Status::Healthy)
        {
            let check = self.check.name();
            let before = before.map(Status::as_str);
            let (status, problem) = (seen.as_str(), outcome.error);
            let error = outcome.cause.as_ref().map(|cause| &**cause as &dyn Error);
            if seen == Status::Healthy {
                tracing::info!(check, status, before, "Health changed");
            } else {
                tracing::warn!(check, status, before, problem, error, "Health changed");
            }
        }
        (seen, observed == Observed::Doubtful)
    }

    /// Runs the check as a task of its own, so that its panic ends nothing else and it may even block. What could not
    /// be stopped the last time is not begun again.
    async fn run(&self, last: &mut Option<AbortOnDropHandle<Outcome>>) -> Outcome {
        if last.as_ref().is_some_and(|last| !last.is_finished()) {
            return Outcome::unhealthy("is still being checked");
        }
        let check = Arc::clone(&self.check);
        let task = last.insert(AbortOnDropHandle::new(tokio::spawn(async move { check.run().await })));
        match timeout(self.check.timeout(), &mut *task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(failed)) => Outcome::unhealthy("could not be checked").because(failed),
            Err(elapsed) => {
                task.abort();
                Outcome::unhealthy("did not answer in time").because(elapsed)
            }
        }
    }
}
