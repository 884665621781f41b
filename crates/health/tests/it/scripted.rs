use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use parlant_health::{Check, Config, Monitor, Outcome, Report, Running, Status};
use parlant_metrics::Exporter;
use serde_json::json;

/// What a check does when it looks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    Find(Status),
    /// Finds all well, after so long.
    Take(Duration),
    Hang,
    Panic,
}

/// A check that does as it is told.
pub(crate) struct Scripted {
    name: &'static str,
    critical: bool,
    look: Mutex<Look>,
    looks: AtomicUsize,
}

/// How long a [`Scripted`] check may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);

impl Scripted {
    pub(crate) fn new(name: &'static str, critical: bool, look: Look) -> Arc<Self> {
        Arc::new(Self { name, critical, look: Mutex::new(look), looks: AtomicUsize::new(0) })
    }

    pub(crate) fn tell(&self, look: Look) {
        *self.look.lock().unwrap() = look;
    }

    pub(crate) fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }
}

impl Check for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn critical(&self) -> bool {
        self.critical
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    fn run(&self) -> Running<'_> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let look = *self.look.lock().unwrap();
        Box::pin(async move {
            match look {
                Look::Find(Status::Healthy) => {}
                Look::Find(Status::Degraded) => return Outcome::degraded("limps"),
                Look::Find(Status::Unhealthy) => {
                    return Outcome::unhealthy("is broken").with_details(json!({ "legs": 0 })).because("secret cause");
                }
                Look::Take(duration) => tokio::time::sleep(duration).await,
                Look::Hang => std::future::pending().await,
                Look::Panic => panic!("the check is broken"),
            }
            Outcome::healthy()
        })
    }
}

/// The numbers of this test process.
pub(crate) fn exporter() -> Exporter {
    static EXPORTER: OnceLock<Exporter> = OnceLock::new();
    EXPORTER.get_or_init(|| parlant_metrics::install().unwrap()).clone()
}

/// A monitor that runs.
pub(crate) fn watch(interval: Duration, checks: Vec<Arc<dyn Check>>) -> Monitor {
    let config = Config { interval, ..Config::default() };
    let monitor = Monitor::new(config, "1.2.3", exporter(), checks);
    tokio::spawn(monitor.clone().run());
    monitor
}

/// How a check is.
pub(crate) fn status(report: &Report, check: &str) -> Status {
    report.checks[check].status
}

/// What is wrong with it.
pub(crate) fn error(report: &Report, check: &str) -> Option<&'static str> {
    report.checks[check].findings.as_ref().unwrap().error
}
