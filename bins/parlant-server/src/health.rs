//! What the server watches.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parlant_auth_bridge::AuthBridge;
use parlant_db_pool::{self as db_pool, Pool};
use parlant_health::{AuthCache, Check, Database, DiskSpace, Engine, Memory, Migrations, Monitor, SimApi};
use parlant_metrics::Exporter;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long the start waits for the first looks, which take milliseconds when all is well. Afterwards what hangs is
/// unhealthy until it is known to be otherwise.
const FIRST_LOOKS: Duration = Duration::from_secs(2);

/// What the server depends on. `written` are files and directories that it or those beside it write to.
pub(crate) fn checks(
    database: &db_pool::Config,
    pool: &Pool,
    auth: &AuthBridge,
    exporter: &Exporter,
    sim_api: SimApi,
    engine: Option<parlant_engine::Engine>,
    written: impl IntoIterator<Item = PathBuf>,
) -> Vec<Arc<dyn Check>> {
    let engine = engine.map(|client| Arc::new(Engine::new(client)) as Arc<dyn Check>);
    let always: [Arc<dyn Check>; 6] = [
        Arc::new(Database::new(database.clone(), pool.clone(), exporter.clone())),
        Arc::new(sim_api),
        Arc::new(Memory::new()),
        Arc::new(DiskSpace::new(written)),
        Arc::new(AuthCache::new(auth.clone())),
        Arc::new(Migrations::new(database.clone())),
    ];
    always.into_iter().chain(engine).collect()
}

/// Begins to watch. When it returns, the first looks have been taken: a server that is well is so from its first
/// answer on.
pub(crate) async fn watch(monitor: &Monitor, background: &mut JoinSet<()>) {
    background.spawn(monitor.clone().run());
    if timeout(FIRST_LOOKS, monitor.fresh()).await.is_err() {
        tracing::warn!("Serving before every dependency has answered");
    }
}
