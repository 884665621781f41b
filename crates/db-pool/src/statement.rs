//! Running one statement on one connection.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connection::Connection;
use crate::{Error, Query};

/// How much longer than the server the client waits: the server's answer that a statement timed out leaves the
/// connection usable, giving up does not.
const GRACE: Duration = Duration::from_millis(500);

/// A failed statement.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Nothing was sent that could have changed anything.
    pub(crate) never_ran: bool,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, never_ran: false }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(cause: tokio_postgres::Error) -> Self {
        Error::from_statement(cause).into()
    }
}

/// The row, if there is one and no other.
pub(crate) fn at_most_one(query: &Query, mut rows: Vec<Row>) -> Result<Option<Row>, Error> {
    let row = rows.pop();
    if rows.is_empty() { Ok(row) } else { Err(Error::rows(query)) }
}

impl Connection {
    /// Runs a statement of this crate's own, without parameters or rows.
    pub(crate) async fn command(&self, sql: &str) -> Result<(), Failure> {
        self.bounded(async {
            self.client().batch_execute(sql).await?;
            Ok(())
        })
        .await
    }

    /// Keeps up to `keep` rows, and returns how many were touched.
    pub(crate) async fn run(
        &self,
        query: &Query,
        params: &[&(dyn ToSql + Sync)],
        rows: &mut Vec<Row>,
        keep: usize,
    ) -> Result<u64, Failure> {
        if params.len() != query.types.len() {
            return Err(Error::Parameters { query: query.name }.into());
        }
        let start = Instant::now();
        let mut result = self.bounded(self.send(query, params, rows, keep)).await;
        if let Err(failure) = &result
            && self.shared().prepared
            && failure.error.is_stale_statement()
        {
            drop(self.client().statement_cache.remove(query.sql, query.types));
            // Inside a transaction nothing more can run.
            if !self.usage.in_transaction.load(Ordering::Relaxed) {
                rows.clear();
                result = self.bounded(self.send(query, params, rows, keep)).await;
            }
        }
        let shared = self.shared();
        shared.metrics.queried(query.name, start.elapsed());
        if let Err(failure) = &result
            && failure.error.is_read_only()
            && !self.usage.read_only.load(Ordering::Relaxed)
        {
            shared.trust.condemn();
        }
        result
    }

    /// Waits no longer than a statement may take, and remembers when its answer did not come.
    async fn bounded<T>(&self, run: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        if self.client().is_closed() || self.usage.abandoned.load(Ordering::Relaxed) {
            return Err(Failure { error: Error::ConnectionLost(None), never_ran: true });
        }
        let shared = self.shared();
        // Not undone when this future is dropped: then the statement still runs.
        self.usage.unanswered.fetch_add(1, Ordering::Relaxed);
        let Ok(result) = timeout(shared.command_timeout + GRACE, run).await else {
            self.usage.abandoned.store(true, Ordering::Relaxed);
            shared.trust.suspect();
            return Err(Error::StatementTimeout.into());
        };
        self.usage.unanswered.fetch_sub(1, Ordering::Relaxed);
        result
    }

    async fn send(
        &self,
        query: &Query,
        params: &[&(dyn ToSql + Sync)],
        rows: &mut Vec<Row>,
        keep: usize,
    ) -> Result<u64, Failure> {
        let client = self.client();
        let stream = if self.shared().prepared {
            let statement = client.prepare_typed_cached(query.sql, query.types).await.map_err(|cause| {
                let error = Error::from_statement(cause);
                // Preparing changes nothing.
                let never_ran = matches!(error, Error::ConnectionLost(_));
                Failure { error, never_ran }
            })?;
            client.query_raw(&statement, params.iter().copied()).await?
        } else {
            let typed = params.iter().copied().zip(query.types.iter().cloned());
            client.query_typed_raw(query.sql, typed).await?
        };
        let mut stream = pin!(stream);
        while let Some(row) = stream.try_next().await? {
            if rows.len() < keep {
                rows.push(row);
            }
        }
        Ok(stream.rows_affected().unwrap_or(0))
    }
}
