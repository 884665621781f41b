use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};

use crate::connection::Connection;
use crate::{Error, Pool, Query};

/// How often a transaction is run before a conflict is the caller's.
const ATTEMPTS: u32 = 5;
/// Pause after the first conflict; doubled each time, by chance up to a half shorter or longer.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// What a transaction asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct TransactionOptions {
    /// `READ COMMITTED` unless said otherwise.
    pub isolation: Option<IsolationLevel>,
    /// Refuses to write.
    pub read_only: bool,
}

/// A transaction under way, given to the closure of [`Pool::transaction`] and of use only until that returns.
pub struct Transaction(Arc<State>);

struct State {
    connection: Connection,
    failed: AtomicBool,
    conflict: AtomicBool,
    ended: AtomicBool,
}

impl Pool {
    /// Runs `work` in a transaction and commits it.
    ///
    /// A serialization failure, a deadlock, or a connection that is dead before the first statement runs `work`
    /// again, five times in all: it must have no effects but its statements. An error of `work`, and dropping this
    /// future, roll back. Between two statements it may take `command_timeout`; then the server gives up. `name` tells
    /// retries apart in the log.
    ///
    /// ```no_run
    /// # use parlant_db_pool::{Error, Pool, Query, Type};
    /// static DEBIT: Query = Query {
    ///     name: "debit",
    ///     sql: "-- debit\nupdate account set balance = balance - $1 where id = $2",
    ///     types: &[Type::INT8, Type::INT4],
    /// };
    /// # async fn example(pool: Pool) -> Result<(), Error> {
    /// pool.transaction("transfer", async |transaction| {
    ///     transaction.execute(&DEBIT, &[&100_i64, &1_i32]).await?;
    ///     transaction.execute(&DEBIT, &[&-100_i64, &2_i32]).await
    /// })
    /// .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of `work`; of [`Pool::get`]; [`Error::CommitUnknown`] when the connection is lost during the commit,
    /// which is never tried again; [`Error::Aborted`] when `work` succeeds in spite of a failed statement, or of one
    /// whose answer it did not wait for.
    pub async fn transaction<T, E, F, R>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: Fn(Transaction) -> R,
        R: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.transaction_with(name, TransactionOptions::default(), work).await
    }

    /// [`transaction`](Self::transaction) with another isolation level or read-only.
    pub async fn transaction_with<T, E, F, R>(
        &self,
        name: &'static str,
        options: TransactionOptions,
        work: F,
    ) -> Result<T, E>
    where
        F: Fn(Transaction) -> R,
        R: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let mut attempt = 1;
        loop {
            match self.attempt(options, &work).await {
                Ok(value) => return Ok(value),
                Err(Unfinished { retry: true, .. }) if attempt < ATTEMPTS => {
                    tracing::debug!(transaction = name, attempt, "Running a transaction again");
                    let pause = FIRST_PAUSE * 2_u32.pow(attempt - 1);
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
                    attempt += 1;
                }
                Err(Unfinished { error, .. }) => return Err(error),
            }
        }
    }

    async fn attempt<T, E, F, R>(&self, options: TransactionOptions, work: &F) -> Result<T, Unfinished<E>>
    where
        F: Fn(Transaction) -> R,
        R: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let connection = self.get().await.map_err(Unfinished::last)?;
        let transaction = State::begin(connection, options)
            .await
            .map_err(|error| Unfinished { retry: matches!(error, Error::ConnectionLost(_)), error: error.into() })?;
        let result = work(Transaction(Arc::clone(&transaction))).await;
        transaction.ended.store(true, Ordering::Relaxed);
        let conflict = transaction.conflict.load(Ordering::Relaxed);
        let failed = transaction.failed.load(Ordering::Relaxed) || transaction.is_busy();
        match result {
            Ok(value) if !failed => {
                transaction
                    .commit()
                    .await
                    .map_err(|error| Unfinished { retry: error.is_conflict(), error: error.into() })?;
                Ok(value)
            }
            result => {
                transaction.roll_back().await;
                Err(Unfinished { retry: conflict, error: result.err().unwrap_or_else(|| Error::Aborted.into()) })
            }
        }
    }
}

struct Unfinished<E> {
    error: E,
    retry: bool,
}

impl<E: From<Error>> Unfinished<E> {
    fn last(error: Error) -> Self {
        Self { error: error.into(), retry: false }
    }
}

impl State {
    async fn begin(connection: Connection, options: TransactionOptions) -> Result<Arc<Self>, Error> {
        let isolation = match options.isolation {
            None | Some(IsolationLevel::ReadCommitted) => "read committed",
            Some(IsolationLevel::RepeatableRead) => "repeatable read",
            Some(IsolationLevel::Serializable) => "serializable",
            // PostgreSQL has no weaker level than READ COMMITTED.
            Some(_) => "read uncommitted",
        };
        let access = if options.read_only { "read only" } else { "read write" };
        let shared = connection.shared();
        let limit = if shared.prepared {
            String::new()
        } else {
            // Nothing was set for the session.
            let limit = shared.command_timeout.as_millis();
            format!("; set local statement_timeout = {limit}")
        };
        let sql = format!("begin isolation level {isolation}, {access}{limit}");
        connection.usage.in_transaction.store(true, Ordering::Relaxed);
        connection.usage.read_only.store(options.read_only, Ordering::Relaxed);
        connection.command(&sql).await?;
        Ok(Arc::new(Self {
            connection,
            failed: AtomicBool::new(false),
            conflict: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }))
    }

    async fn commit(&self) -> Result<(), Error> {
        match self.connection.command("commit").await {
            Ok(()) => {
                self.finished();
                Ok(())
            }
            Err(failure) => Err(match failure.error {
                Error::ConnectionLost(None) if failure.never_ran => Error::ConnectionLost(None),
                lost @ Error::ConnectionLost(_) => Error::CommitUnknown(Some(Box::new(lost))),
                Error::StatementTimeout => Error::CommitUnknown(None),
                refused => {
                    self.finished();
                    refused
                }
            }),
        }
    }

    /// Whether a statement still runs, because the future that waited for it was dropped: how it ends is not known.
    fn is_busy(&self) -> bool {
        self.connection.usage.unanswered.load(Ordering::Relaxed) > 0
    }

    /// As well as it can be done: otherwise the server rolls back when the connection is closed on its way back.
    async fn roll_back(&self) {
        if !self.is_busy() && self.connection.command("rollback").await.is_ok() {
            self.finished();
        }
    }

    fn finished(&self) {
        self.connection.usage.in_transaction.store(false, Ordering::Relaxed);
    }
}

impl Transaction {
    async fn run<'a, T, R: Future<Output = Result<T, Error>>>(
        &'a self,
        statement: impl FnOnce(&'a Connection) -> R,
    ) -> Result<T, Error> {
        let state = &*self.0;
        if state.ended.load(Ordering::Relaxed) {
            return Err(Error::Aborted);
        }
        let result = statement(&state.connection).await;
        if let Err(error) = &result
            && !matches!(error, Error::Rows { .. } | Error::Parameters { .. })
        {
            let outdated = state.connection.shared().prepared && error.is_stale_statement();
            state.failed.store(true, Ordering::Relaxed);
            let conflict = outdated || error.is_conflict();
            state.conflict.fetch_or(conflict, Ordering::Relaxed);
        }
        result
    }

    /// Runs one statement and returns its rows.
    pub async fn query(&self, query: &'static Query, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.run(|connection| connection.query(query, params)).await
    }

    /// Runs one statement and returns its row, if it has one.
    ///
    /// # Errors
    /// [`Error::Rows`] for more than one row.
    pub async fn query_opt(&self, query: &'static Query, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, Error> {
        self.run(|connection| connection.query_opt(query, params)).await
    }

    /// Runs one statement and returns its row.
    ///
    /// # Errors
    /// [`Error::Rows`] for any other number of rows than one.
    pub async fn query_one(&self, query: &'static Query, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        self.run(|connection| connection.query_one(query, params)).await
    }

    /// Runs one statement and returns how many rows it touched.
    pub async fn execute(&self, query: &'static Query, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        self.run(|connection| connection.execute(query, params)).await
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}
