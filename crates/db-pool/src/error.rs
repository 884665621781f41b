use tokio_postgres::error::{Severity, SqlState};

use crate::Query;

/// What a caller may expect from trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The database is out of reach, too busy or in conflict with another transaction: the same request may
    /// succeed later.
    Transient,
    /// A defect or bad data: the same request fails again.
    Permanent,
}

/// Why a database operation failed.
///
/// `Display` names the kind and the SQLSTATE alone. What the server said is in
/// [`source`](std::error::Error::source): for logs, never for clients.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// All connections were in use for the whole of `pool_timeout`.
    #[error("no database connection became free in time")]
    Exhausted,
    /// No connection could be made.
    #[error("cannot connect to the database")]
    Connect(#[source] tokio_postgres::Error),
    /// No connection could be made in time.
    #[error("connecting to the database timed out")]
    ConnectTimeout,
    /// The configuration cannot be connected with.
    #[error("the database configuration is not valid")]
    Config(#[from] crate::ConfigError),
    /// The pool was closed.
    #[error("the database pool is shutting down")]
    Closed,
    /// The statement ran longer than `command_timeout`. It was cancelled.
    #[error("the statement timed out")]
    StatementTimeout,
    /// The connection ended before the statement's answer. Whether a statement that writes took effect is not
    /// known, unless it ran in a transaction: that was rolled back.
    #[error("the database connection was lost")]
    ConnectionLost(#[source] Option<tokio_postgres::Error>),
    /// The connection ended between the commit and its answer: the transaction may or may not have taken
    /// effect.
    #[error("the connection was lost during a commit, its outcome is unknown")]
    CommitUnknown(#[source] Option<Box<Error>>),
    /// The database refused the statement.
    #[error("database error {}", .0.code().map_or("without a code", SqlState::code))]
    Database(#[source] tokio_postgres::Error),
    /// A transaction was carried on after a statement of it had failed or was not waited for, or after its end.
    /// Nothing of that took effect.
    #[error("the transaction cannot be carried on")]
    Aborted,
    /// A single row was asked for and another number came.
    #[error("{query} returned an unexpected number of rows")]
    Rows {
        /// The statement's name.
        query: &'static str,
    },
    /// Not as many parameters as types.
    #[error("{query} was given another number of parameters than it declares")]
    Parameters {
        /// The statement's name.
        query: &'static str,
    },
    /// The parameters do not fit the statement, or its rows what was asked of them.
    #[error("the statement does not fit its parameters or rows")]
    Usage(#[source] tokio_postgres::Error),
}

impl Error {
    /// Whether trying again can help.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Exhausted
            | Self::Connect(_)
            | Self::ConnectTimeout
            | Self::Closed
            | Self::StatementTimeout
            | Self::ConnectionLost(_)
            | Self::CommitUnknown(_) => Class::Transient,
            Self::Database(_) if self.sqlstate().is_some_and(is_transient) => Class::Transient,
            Self::Database(_)
            | Self::Config(_)
            | Self::Aborted
            | Self::Rows { .. }
            | Self::Parameters { .. }
            | Self::Usage(_) => Class::Permanent,
        }
    }

    /// The server's error code, when the server answered with one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&SqlState> {
        self.cause()?.code()
    }

    /// The constraint that the statement would have violated.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.cause()?.as_db_error()?.constraint()
    }

    fn cause(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::Connect(cause) | Self::Database(cause) | Self::Usage(cause) => Some(cause),
            Self::ConnectionLost(cause) => cause.as_ref(),
            Self::CommitUnknown(cause) => cause.as_ref()?.cause(),
            _ => None,
        }
    }

    /// Whether a transaction that met this may be run again from its start.
    pub(crate) fn is_conflict(&self) -> bool {
        self.sqlstate().is_some_and(|code| {
            *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED
        })
    }

    /// Whether the server no longer knows the prepared statement as it was: 0A000 "cached plan must not change
    /// result type" after an `ALTER TABLE`, 26000 after a `DEALLOCATE`. The statement did not run.
    pub(crate) fn is_stale_statement(&self) -> bool {
        self.sqlstate().is_some_and(|code| {
            *code == SqlState::FEATURE_NOT_SUPPORTED || *code == SqlState::INVALID_SQL_STATEMENT_NAME
        })
    }

    /// Whether the server that answered takes no writes: a primary that became a standby.
    pub(crate) fn is_read_only(&self) -> bool {
        self.sqlstate() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
    }

    /// What connecting made of `cause`.
    pub(crate) fn from_connect(cause: tokio_postgres::Error) -> Self {
        // Their kinds are not to be had otherwise.
        if cause.to_string() == timed_out().to_string() {
            return Self::ConnectTimeout;
        }
        Self::Connect(cause)
    }

    /// What running a statement made of `cause`.
    pub(crate) fn from_statement(cause: tokio_postgres::Error) -> Self {
        if cause.is_closed() {
            return Self::ConnectionLost(Some(cause));
        }
        let Some(answer) = cause.as_db_error() else {
            return Self::Usage(cause);
        };
        // A pooler in between may not send the untranslated severity.
        let severity = answer.parsed_severity();
        let fatal = matches!(severity, Some(Severity::Fatal | Severity::Panic))
            || (severity.is_none() && answer.severity() == "FATAL");
        if *answer.code() == SqlState::QUERY_CANCELED {
            Self::StatementTimeout
        } else if fatal {
            Self::ConnectionLost(Some(cause))
        } else {
            Self::Database(cause)
        }
    }

    pub(crate) fn rows(query: &Query) -> Self {
        Self::Rows { query: query.name }
    }
}

/// What the driver says when the server does not answer: the one error of its type that others may make.
pub(crate) fn timed_out() -> tokio_postgres::Error {
    tokio_postgres::Error::__private_api_timeout()
}

/// Classes and codes of <https://www.postgresql.org/docs/current/errcodes-appendix.html> that say "not now":
/// connection trouble, conflicts, no resources, operator intervention, the server's disk. A read-only server is
/// a failover under way.
fn is_transient(code: &SqlState) -> bool {
    matches!(code.code().get(..2), Some("08" | "53" | "57" | "58"))
        || [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code)
}
