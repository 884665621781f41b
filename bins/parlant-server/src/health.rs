//! What the server watches, and for whom.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parlant_auth_bridge::AuthBridge;
use parlant_db_pool::{self as db_pool, Pool};
use parlant_health::{AuthCache, Check, Config, Database, DiskSpace, Memory, Migrations, Monitor, SimApi};
use parlant_metrics::Exporter;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long the start waits for the first looks, which take milliseconds when all is well. Afterwards what hangs is
/// unhealthy until it is known to be otherwise.
const FIRST_LOOKS: Duration = Duration::from_secs(2);

/// What there is to watch.
pub(crate) struct Watched {
    pub(crate) database: db_pool::Config,
    pub(crate) pool: Pool,
    pub(crate) auth: AuthBridge,
    pub(crate) sim_api: SimApi,
    /// Files and directories that the server or those beside it write to.
    pub(crate) written: Vec<PathBuf>,
}

/// Begins to watch. When it returns, the first looks have been taken: a server that is well is so from its first
/// answer on.
pub(crate) async fn watch(
    config: Config,
    exporter: Exporter,
    watched: Watched,
    background: &mut JoinSet<()>,
) -> Monitor {
    let Watched { database, pool, auth, sim_api, written } = watched;
    let checks: Vec<Arc<dyn Check>> = vec![
        Arc::new(Database::new(database.clone(), pool, exporter.clone())),
        Arc::new(sim_api),
        Arc::new(Memory::new()),
        Arc::new(DiskSpace::new(written)),
        Arc::new(AuthCache::new(auth)),
        Arc::new(Migrations::new(database)),
    ];
    let monitor = Monitor::new(config, env!("CARGO_PKG_VERSION"), exporter, checks);
    background.spawn(monitor.clone().run());
    if timeout(FIRST_LOOKS, monitor.fresh()).await.is_err() {
        tracing::warn!("Serving before every dependency has answered");
    }
    monitor
}
