//! What a pool, its tasks and its checked-out connections know in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::connect::{Connector, Driver};
use crate::error::timed_out;
use crate::metrics::Metrics;
use crate::reserve::Reserve;
use crate::target::Target;
use crate::trust::Trust;
use crate::{Config, ConfigError};

pub(crate) struct Shared {
    /// Where the pool was made. All connections live there: one made where it is first wanted would end with that
    /// thread's runtime, whoever uses it by then.
    runtime: Handle,
    pub(crate) connector: Connector,
    pub(crate) reserve: Reserve,
    pub(crate) metrics: Metrics,
    pub(crate) trust: Trust,
    /// Whether statements are prepared; else nothing of the session is touched either.
    pub(crate) prepared: bool,
    pub(crate) base: usize,
    pub(crate) max: usize,
    pub(crate) pool_timeout: Duration,
    pub(crate) connection_timeout: Duration,
    pub(crate) command_timeout: Duration,
    /// Checked out.
    pub(crate) active: AtomicUsize,
    /// Callers for whom a connection is being made.
    pub(crate) connecting: AtomicUsize,
    /// Run on each new connection.
    session: String,
}

impl Shared {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let target = Target::new(config)?;
        let limit = config.command_timeout.as_millis();
        let max = config.pool_size + config.max_overflow;
        Ok(Self {
            runtime: Handle::current(),
            prepared: config.prepared_statements && !target.pgbouncer,
            connector: Connector::new(target),
            reserve: Reserve::default(),
            metrics: Metrics::new(config.name, max),
            trust: Trust::new(config.ping_after),
            base: config.pool_size,
            max,
            pool_timeout: config.pool_timeout,
            connection_timeout: config.connection_timeout,
            command_timeout: config.command_timeout,
            active: AtomicUsize::new(0),
            connecting: AtomicUsize::new(0),
            session: format!("set statement_timeout = {limit}; set idle_in_transaction_session_timeout = {limit}"),
        })
    }

    /// A new connection, ready for statements.
    pub(crate) async fn open(&self, budget: Duration) -> Result<(Client, Driver), tokio_postgres::Error> {
        let open = async {
            let (client, driver) = self.connector.connect(budget).await?;
            // A session setting would stay on whichever server connection PgBouncer lent for it.
            if self.prepared {
                client.batch_execute(&self.session).await?;
            }
            Ok((client, driver))
        };
        timeout(budget, open).await.unwrap_or_else(|_| Err(timed_out()))
    }
}

/// Adds one to a count for as long as it exists.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(crate) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// deadpool's way to new connections: from the reserve, else a new one.
pub(crate) struct OnDemand(pub(crate) Arc<Shared>);

impl deadpool_postgres::Connect for OnDemand {
    fn connect(
        &self,
        _: &tokio_postgres::Config,
    ) -> std::pin::Pin<
        Box<dyn Future<Output = Result<(Client, tokio::task::JoinHandle<()>), tokio_postgres::Error>> + Send + '_>,
    > {
        let shared = Arc::clone(&self.0);
        let made = self.0.runtime.spawn(async move {
            let _connecting = Counted::new(&shared.connecting);
            let mut spare = shared.reserve.take(&shared.trust).await;
            if spare.is_none() && shared.connector.live() >= shared.max {
                // The one that is being made for the reserve would make one too many.
                spare = shared.reserve.take_next(&shared.trust).await;
            }
            let (client, driver) = if let Some(spare) = spare {
                spare
            } else {
                let budget = shared.connection_timeout.min(shared.pool_timeout);
                shared.open(budget).await?
            };
            Ok((client, driver.into_task()))
        });
        let mut made = AbortOnDrop(made);
        Box::pin(async move {
            // Aborted only with the runtime.
            (&mut made.0).await.unwrap_or_else(|_| Err(timed_out()))
        })
    }
}

/// A task that nobody waits for any longer need not go on.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
