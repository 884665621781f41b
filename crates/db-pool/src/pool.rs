use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use deadpool::managed::QueueMode;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, PoolConfig, PoolError, RecyclingMethod, Runtime, TimeoutType, Timeouts,
};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connection::Connection;
use crate::shared::{OnDemand, Shared};
use crate::statement::at_most_one;
use crate::{Config, ConfigError, Error, Query, reserve};

/// How often idle connections are looked through and the gauges set.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// On top of `pool_timeout`, so that waiting for a free connection runs out before the whole does and the two can
/// be told apart.
const SLACK: Duration = Duration::from_millis(10);

/// A pool of connections: `pool_size` of them kept warm, up to `max_overflow` more under load. Cheap to clone.
///
/// Must be made inside a Tokio runtime. Dropping the last clone ends it; [`close`](Self::close) does so in order.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    connections: deadpool_postgres::Pool,
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn stop(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.shared.reserve.clear();
    }
}

/// How a pool is used at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Connections checked out, those being cleaned up after a dropped caller included.
    pub active: usize,
    /// Connections that stand ready.
    pub idle: usize,
    /// The most that there may be, overflow included.
    pub max: usize,
    /// Callers that wait because all connections are in use.
    pub waiting: usize,
}

impl Pool {
    /// Checks the configuration and starts to connect in the background: an unreachable database is no error
    /// here.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let shared = Arc::new(Shared::new(config)?);
        if shared.max == 0 {
            return Err(ConfigError::NoConnections);
        }
        let manager = Manager::from_connect(
            tokio_postgres::Config::new(),
            OnDemand(Arc::clone(&shared)),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let trusted = Arc::clone(&shared);
        let connections = deadpool_postgres::Pool::builder(manager)
            .config(PoolConfig {
                max_size: shared.max,
                timeouts: Timeouts { wait: Some(shared.pool_timeout), create: None, recycle: None },
                // The least used stay unused, and can be retired.
                queue_mode: QueueMode::Lifo,
            })
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::async_fn(move |client, metrics| {
                let shared = Arc::clone(&trusted);
                Box::pin(async move {
                    let used = metrics.recycled.unwrap_or(metrics.created);
                    if shared.trust.allows(client, used).await { Ok(()) } else { Err(HookError::message("unfit")) }
                })
            }))
            .build()
            .map_err(|_| ConfigError::NoConnections)?;
        let tasks = [
            tokio::spawn(reserve::fill(Arc::clone(&shared))),
            tokio::spawn(keep_house(Arc::clone(&shared), connections.weak(), config.overflow_idle)),
        ];
        Ok(Self(Arc::new(Inner { connections, tasks: tasks.map(|task| task.abort_handle()), shared })))
    }

    /// Makes the metrics of these statements exist before any of them has run. For whoever will run them.
    pub fn announce(&self, queries: &[&Query]) {
        self.0.shared.metrics.announce(queries);
    }

    /// A connection, for as long as it is held.
    ///
    /// # Errors
    /// Within `pool_timeout`: [`Error::Exhausted`] when all connections stayed in use, [`Error::Connect`] or
    /// [`Error::ConnectTimeout`] when a new one could not be made, [`Error::Closed`] after [`close`](Self::close).
    pub async fn get(&self) -> Result<Connection, Error> {
        let shared = &self.0.shared;
        let start = Instant::now();
        let got = timeout(shared.pool_timeout + SLACK, self.0.connections.get()).await;
        shared.metrics.waited(start.elapsed());
        let error = match got {
            Ok(Ok(object)) => return Ok(Connection::new(object, Arc::clone(shared))),
            Ok(Err(PoolError::Timeout(TimeoutType::Wait))) => Error::Exhausted,
            Ok(Err(PoolError::Backend(cause))) => Error::from_connect(cause),
            Ok(Err(PoolError::Closed)) => Error::Closed,
            // Of the pool's own, no other time limit and no hook that fails is set.
            Err(_) | Ok(Err(PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_))) => {
                Error::ConnectTimeout
            }
        };
        if matches!(error, Error::Exhausted | Error::ConnectTimeout) {
            shared.metrics.timed_out();
        }
        Err(error)
    }

    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// Of [`get`](Self::get) and of the statement. A statement that certainly did not run because its connection
    /// turned out to be dead is tried once more on another one.
    pub async fn query(&self, query: &Query, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.run(query, params, &mut rows, usize::MAX).await?;
        Ok(rows)
    }

    /// Runs one statement and returns its row, if it has one.
    ///
    /// # Errors
    /// As [`query`](Self::query); [`Error::Rows`] for more than one row.
    pub async fn query_opt(&self, query: &Query, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, Error> {
        let mut rows = Vec::new();
        self.run(query, params, &mut rows, 2).await?;
        at_most_one(query, rows)
    }

    /// Runs one statement and returns its row.
    ///
    /// # Errors
    /// As [`query`](Self::query); [`Error::Rows`] for any other number of rows than one.
    pub async fn query_one(&self, query: &Query, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        self.query_opt(query, params).await?.ok_or_else(|| Error::rows(query))
    }

    /// Runs one statement and returns how many rows it touched.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&self, query: &Query, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        self.run(query, params, &mut Vec::new(), 0).await
    }

    /// Runs a statement, on a second connection when it certainly did not run on the first. Not generic over what it
    /// runs: the future of an `AsyncFn` that borrows is not `Send` enough for callers that box it.
    async fn run(
        &self,
        query: &Query,
        params: &[&(dyn ToSql + Sync)],
        rows: &mut Vec<Row>,
        keep: usize,
    ) -> Result<u64, Error> {
        let connection = self.get().await?;
        match connection.run(query, params, rows, keep).await {
            Err(failure) if failure.never_ran => {
                drop(connection);
                let connection = self.get().await?;
                Ok(connection.run(query, params, rows, keep).await?)
            }
            result => Ok(result?),
        }
    }

    /// How the pool is used now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        statistics(&self.0.shared, &self.0.connections)
    }

    /// Hands out no more connections, closes those that are idle, and waits for those in use, `pool_timeout` at
    /// most: what is returned later is closed then.
    pub async fn close(&self) {
        self.0.connections.close();
        self.0.stop();
        let drained = async {
            while self.0.shared.connector.live() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(self.0.shared.pool_timeout, drained).await;
        self.0.shared.metrics.sample(self.statistics());
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pool").field(&self.statistics()).finish()
    }
}

fn statistics(shared: &Shared, connections: &deadpool_postgres::Pool) -> Statistics {
    // deadpool counts dead connections as available; `retain` drops them and counts the rest.
    let kept = connections.retain(|client, _| !client.is_closed()).retained;
    // Its waiting callers include those for whom a connection is being made.
    let connecting = shared.connecting.load(Ordering::Relaxed);
    Statistics {
        active: shared.active.load(Ordering::Relaxed),
        idle: kept + shared.reserve.len(),
        max: shared.max,
        waiting: connections.status().waiting.saturating_sub(connecting),
    }
}

/// Retires what is not needed, asks for what is, and sets the gauges.
async fn keep_house(shared: Arc<Shared>, connections: deadpool_postgres::WeakPool, overflow_idle: Duration) {
    let mut interval = tokio::time::interval(HOUSEKEEPING);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(connections) = connections.upgrade() else {
            return;
        };
        let mut excess = shared.connector.live().saturating_sub(shared.base);
        connections.retain(|client, metrics| {
            if client.is_closed() {
                return false;
            }
            let retire = excess > 0 && metrics.last_used() > overflow_idle;
            excess -= usize::from(retire);
            !retire
        });
        shared.reserve.want();
        shared.metrics.sample(statistics(&shared, &connections));
    }
}
