use std::io;

use parlant_settings::{Effective, Settings};
use parlant_telemetry::{Config, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::VARIABLES;
use crate::supervisor::Supervisor;

/// What is read again; everything else takes a restart.
const RELOADED: [&str; 2] = ["LOG_LEVEL", "LOG_LEVEL_FILE"];

/// SIGHUP, which from the making of this on no longer ends the process.
pub(crate) struct Hangups {
    signal: Signal,
    /// What holds since the start.
    settled: Vec<Effective>,
}

impl Hangups {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::hangup())?, settled: settled(&Settings::from_process()) })
    }

    /// At each signal opens the log's file anew and reads again what is logged. What is wrong in the settings changes
    /// nothing and is said.
    pub(crate) async fn reload(mut self, log: Handle, supervisor: Supervisor) {
        while self.signal.recv().await.is_some() {
            supervisor.reloading(|| self.take(&log));
        }
    }

    fn take(&self, log: &Handle) {
        log.reopen();
        let mut settings = Settings::from_process();
        let config = Config::from_settings(&mut settings);
        let changed: Vec<_> = settled(&settings)
            .iter()
            .zip(&self.settled)
            .filter(|(now, before)| now.value != before.value)
            .map(|(now, _)| now.name)
            .collect();
        match settings.finish() {
            Ok(()) => {
                log.set_filter(&config.filter);
                tracing::info!(filter = %config.filter, "Reloaded");
            }
            Err(problems) => tracing::error!(%problems, "Not reloaded: the level of the log stays as it was"),
        }
        if !changed.is_empty() {
            tracing::warn!(variables = changed.join(", "), "These have changed, which takes effect with a restart");
        }
    }
}

/// What holds for everything that is read once, as far as it can be told without secrets.
fn settled(settings: &Settings) -> Vec<Effective> {
    let variables = VARIABLES.iter().flat_map(|group| group.variables);
    variables
        .filter(|variable| !RELOADED.contains(&variable.name))
        .map(|variable| settings.effective(variable))
        .collect()
}
