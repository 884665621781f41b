//! What the server tells people by itself.

mod claims;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use parlant_alerting::{Alerting, Config, Source, inhibitions, rules};
use parlant_db_pool as db_pool;
use parlant_metrics::{Exporter, Snapshot};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use claims::AdvisoryClaims;

/// The rules' watch over the process's own numbers, which runs until it is told to stop.
pub(crate) struct Alerts {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Alerts {
    /// Begins to watch. `backups` is the file with the backup job's numbers, where it is known: what Prometheus would hear
    /// from the node-exporter. Whether anybody can reach the server is for [`Config::heartbeat`] to say.
    pub(crate) fn begin(
        mut config: Config,
        database: &db_pool::Config,
        address: SocketAddr,
        exporter: Exporter,
        backups: Option<PathBuf>,
    ) -> Result<Self, db_pool::ConfigError> {
        let host = rustix::system::uname();
        config.fields.push(("server".to_owned(), format!("{}:{}", host.nodename().to_string_lossy(), address.port())));
        let notifiers = config.notifiers();
        let told = !notifiers.is_empty();
        let mut alerting = Alerting::new(rules(), notifiers, config).with_inhibitions(inhibitions());
        // Behind a transaction-pooling PgBouncer a lock would be anybody's: each server tells what it sees.
        if told && database.keeps_sessions()? {
            alerting = alerting.with_claims(AdvisoryClaims::new(database.clone()));
        }
        let numbers = move || {
            // A file that is not there says that there is no backup.
            let backups = backups.as_ref().map(|file| fs::read_to_string(file).unwrap_or_default());
            let backups = backups.map(|text| (Source::NodeExporter, Snapshot::parse(&text)));
            [(Source::Server, exporter.snapshot())].into_iter().chain(backups).collect()
        };
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(alerting.run(numbers, async {
            let _ = stopped.await;
        }));
        Ok(Self { stop, running })
    }

    /// Sends what still waits, as long as `grace` allows.
    pub(crate) async fn end(self, grace: Duration) {
        drop(self.stop);
        let _ = timeout(grace, self.running).await;
    }
}
