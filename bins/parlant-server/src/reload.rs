use std::io;

use parlant_settings::Settings;
use parlant_telemetry::{Config, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, which from the making of this on no longer ends the process.
pub(crate) struct Hangups(Signal);

impl Hangups {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// At each signal opens the log's file anew and reads again what is logged. What is wrong in the settings changes
    /// nothing and is said.
    pub(crate) async fn reload(mut self, log: Handle) {
        while self.0.recv().await.is_some() {
            log.reopen();
            let mut settings = Settings::from_process();
            let config = Config::from_settings(&mut settings);
            match settings.finish() {
                Ok(()) => {
                    log.set_filter(&config.filter);
                    tracing::info!(filter = %config.filter, "Reloaded");
                }
                Err(problems) => tracing::error!(%problems, "Not reloaded: the level of the log stays as it was"),
            }
        }
    }
}
