use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::shared::Shared;
use crate::statement::at_most_one;
use crate::{Error, Query};

/// How long a cancelled statement and a rollback may take before their connection is closed instead.
const CLEANUP: Duration = Duration::from_secs(1);

/// A connection that is checked out of its pool until it is dropped.
///
/// Dropped with a statement still running (because the future that waited for it was dropped), it cancels the
/// statement and is closed; the next caller never waits behind it.
pub struct Connection {
    /// None only while dropping.
    object: Option<Object>,
    active: Option<Active>,
    pub(crate) usage: Usage,
}

/// What is going on on a connection.
#[derive(Default)]
pub(crate) struct Usage {
    /// Statements that were sent and not answered.
    pub(crate) unanswered: AtomicUsize,
    /// The answer to the last statement was given up.
    pub(crate) abandoned: AtomicBool,
    /// Between `begin` and the answer to `commit` or `rollback`.
    pub(crate) in_transaction: AtomicBool,
    /// The transaction asked for it.
    pub(crate) read_only: AtomicBool,
}

/// Counts one checked-out connection.
struct Active(Arc<Shared>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    pub(crate) fn new(object: Object, shared: Arc<Shared>) -> Self {
        shared.active.fetch_add(1, Ordering::Relaxed);
        Self { object: Some(object), active: Some(Active(shared)), usage: Usage::default() }
    }

    #[expect(clippy::expect_used, reason = "only `drop` takes the object out")]
    pub(crate) fn client(&self) -> &ClientWrapper {
        self.object.as_ref().expect("not dropped")
    }

    #[expect(clippy::expect_used, reason = "only `drop` takes the count out")]
    pub(crate) fn shared(&self) -> &Shared {
        &self.active.as_ref().expect("not dropped").0
    }

    /// Runs one statement and returns its rows.
    pub async fn query(&self, query: &'static Query, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.run(query, params, &mut rows, usize::MAX).await?;
        Ok(rows)
    }

    /// Runs one statement and returns its row, if it has one.
    ///
    /// # Errors
    /// [`Error::Rows`] for more than one row.
    pub async fn query_opt(&self, query: &'static Query, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, Error> {
        let mut rows = Vec::new();
        self.run(query, params, &mut rows, 2).await?;
        at_most_one(query, rows)
    }

    /// Runs one statement and returns its row.
    ///
    /// # Errors
    /// [`Error::Rows`] for any other number of rows than one.
    pub async fn query_one(&self, query: &'static Query, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        self.query_opt(query, params).await?.ok_or_else(|| Error::rows(query))
    }

    /// Runs one statement and returns how many rows it touched.
    pub async fn execute(&self, query: &'static Query, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        Ok(self.run(query, params, &mut Vec::new(), 0).await?)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (Some(object), Some(active)) = (self.object.take(), self.active.take()) else {
            return;
        };
        let running = *self.usage.unanswered.get_mut() > 0;
        let in_transaction = *self.usage.in_transaction.get_mut();
        if object.is_closed() {
            discard(object, &active);
        } else if running || in_transaction {
            // Without a runtime there is nobody to clean up.
            match Handle::try_current() {
                Ok(runtime) if running => drop(runtime.spawn(cancel(object, active))),
                Ok(runtime) => drop(runtime.spawn(roll_back(object, active))),
                Err(_) => discard(object, &active),
            }
        }
    }
}

fn discard(object: Object, active: &Active) {
    drop(Object::take(object));
    active.0.reserve.want();
}

/// Ends the statement that runs. Its connection is never used again: the cancel request may reach the server late,
/// and would hit the next statement.
async fn cancel(object: Object, active: Active) {
    active.0.connector.cancel(&object.cancel_token()).await;
    // Holds the place in the pool until the server is done, so that there are never more than `max`.
    let _ = timeout(CLEANUP, object.check_connection()).await;
    discard(object, &active);
}

async fn roll_back(object: Object, active: Active) {
    match timeout(CLEANUP, object.batch_execute("rollback")).await {
        Ok(Ok(())) => drop(object),
        _ => discard(object, &active),
    }
}
