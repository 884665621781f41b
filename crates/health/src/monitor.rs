use std::sync::Arc;

use futures_util::future::join_all;
use metrics::Gauge;
use parlant_metrics::Exporter;

use crate::metrics::{STATUS, single};
use crate::numbers::Numbers;
use crate::report::overall;
use crate::slot::{FRESH, Slot};
use crate::{Audience, Check, Config, Report, Status};

/// Runs the checks and knows what they found. Clones share everything.
#[derive(Clone)]
pub struct Monitor(Arc<Inner>);

struct Inner {
    config: Config,
    version: &'static str,
    slots: Vec<Slot>,
    numbers: Numbers,
    status: Gauge,
}

impl Monitor {
    /// A monitor that has not looked at anything yet: everything is unhealthy until [`run`](Self::run) has.
    #[must_use]
    pub fn new(config: Config, version: &'static str, exporter: Exporter, checks: Vec<Arc<dyn Check>>) -> Self {
        let slots = checks.into_iter().map(Slot::new).collect();
        let status = single(STATUS, "What the health report says in whole: 0 unhealthy, 1 degraded, 2 healthy.");
        let monitor = Self(Arc::new(Inner { config, version, slots, numbers: Numbers::new(exporter), status }));
        monitor.show();
        monitor
    }

    /// Runs every check at once and then each [`Config::interval`], for ever. Spawn it.
    pub async fn run(self) {
        let inner = &*self.0;
        let count = async {
            let mut ticks = tokio::time::interval(inner.config.interval);
            loop {
                ticks.tick().await;
                inner.numbers.refresh(FRESH);
            }
        };
        let watch = join_all(inner.slots.iter().map(|slot| slot.watch(inner.config.interval, || self.show())));
        tokio::join!(watch, count);
    }

    /// The whole in one word.
    #[must_use]
    pub fn status(&self) -> Status {
        let reports = self.0.slots.iter().map(Slot::report);
        overall(reports.map(|report| (report.status, report.critical)))
    }

    /// Tells it to those who read metrics.
    fn show(&self) {
        self.0.status.set(f64::from(self.status() as u8));
    }

    /// What is known. Nobody is asked; only the process's own numbers are taken anew, once a second at most.
    #[must_use]
    pub fn report(&self) -> Report {
        let inner = &*self.0;
        inner.numbers.refresh(FRESH);
        let checks = inner.slots.iter().map(|slot| (slot.check.name(), slot.report())).collect();
        Report::new(inner.version, checks, inner.numbers.figures())
    }

    /// What is known once every check was looked at within the last second; of all who ask at the same time, the first
    /// causes that. Takes as long as the slowest check's time limit, or twice that when it has to be certain of a
    /// change. Needs [`run`](Self::run).
    pub async fn fresh(&self) -> Report {
        join_all(self.0.slots.iter().map(Slot::fresh)).await;
        self.report()
    }

    /// The version that runs.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.0.version
    }

    /// Who may see the `details` and `error` of the checks.
    #[must_use]
    pub fn audience(&self) -> Audience {
        self.0.config.details
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("status", &self.status()).finish_non_exhaustive()
    }
}
