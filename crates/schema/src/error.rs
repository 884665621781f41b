use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::time::Duration;

use tokio_postgres::error::{ErrorPosition, SqlState};

use crate::lock::Holder;
use crate::migrations::Version;
use crate::status::{State, Status};

/// Why a command of this crate could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A migration file breaks a rule of `migrations/README.md`.
    #[error("migration file {file}: {reason}")]
    Malformed {
        /// The file's name without `.sql`.
        file: String,
        /// The rule.
        reason: String,
    },
    /// The database could not be reached.
    #[error("cannot connect to the database")]
    Connect(#[from] parlant_db_pool::Error),
    /// The database refused one of this crate's own statements, or went away.
    #[error("{0}")]
    Database(#[from] DatabaseError),
    /// The schema is not one that this program may work with: behind, ahead, or not what the files say.
    #[error("{}", .0.summary())]
    Unsuitable(Box<Status>),
    /// Another run held the migration lock for longer than the caller wanted to wait.
    #[error("another run holds the migration lock: {}", holder.as_ref().map_or("it ended just now".to_owned(), ToString::to_string))]
    Locked {
        /// Who holds it; `None` if it was gone again when asked.
        holder: Option<Holder>,
    },
    /// A file's tables stayed in use through all tries; nothing of the file is left behind.
    #[error("{migration} could not lock what it changes in {tries} tries over {waited:?}; {}", in_use(holders))]
    Blocked {
        /// The file.
        migration: Version,
        /// How often it was tried.
        tries: u32,
        /// From the first try to the last.
        waited: Duration,
        /// Sessions that held locks on tables of `public` afterwards.
        holders: Vec<Holder>,
    },
    /// A file failed. The ones before it stay applied.
    #[error("{migration} failed: {cause}")]
    Failed {
        /// The file.
        migration: Version,
        /// What PostgreSQL said.
        cause: DatabaseError,
    },
    /// A file ran and did not do what it is for, or the runner stopped trusting its connection.
    #[error("{migration} stopped: {reason}")]
    Stopped {
        /// The file.
        migration: Version,
        /// What was found.
        reason: &'static str,
    },
    /// The role may not make a scratch database for `plan`.
    #[error("a plan needs a scratch database: `alter role .. createdb` for this role, or another server to make it on")]
    NoScratch,
    /// The caller's own end of `plan`; the scratch database is gone.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub(crate) fn malformed(file: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self::Malformed { file: file.to_string(), reason: reason.into() }
    }

    /// The state of the schema, where that is what the error is about.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        match self {
            Self::Unsuitable(status) => Some(status.state),
            _ => None,
        }
    }

    /// Whether somebody else was in the way, so that trying again later helps.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Blocked { .. })
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(DatabaseError::new(&error, ""))
    }
}

fn in_use(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "nobody holds them any more".to_owned();
    }
    let names: Vec<_> = holders.iter().map(ToString::to_string).collect();
    format!("tables are in use by {}", names.join("; "))
}

/// What PostgreSQL said, without the detail line: that one quotes rows.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct DatabaseError {
    /// The five characters, where the server answered at all.
    pub sqlstate: Option<SqlState>,
    text: String,
}

impl DatabaseError {
    /// What went wrong with `file`, as it was sent, or with a statement of this crate's own, which is none.
    pub(crate) fn new(error: &tokio_postgres::Error, file: &str) -> Self {
        let Some(said) = error.as_db_error() else {
            // The driver's own text is only a heading; what happened is in its source.
            let text = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            return Self { sqlstate: None, text };
        };
        let mut text = said.message().to_owned();
        if let Some(ErrorPosition::Original(position)) = said.position()
            && !file.is_empty()
        {
            let before = file.chars().take(usize::try_from(position.saturating_sub(1)).unwrap_or(usize::MAX));
            let _ = write!(text, " in line {}", 1 + before.filter(|character| *character == '\n').count());
        }
        let _ = write!(text, " (SQLSTATE {})", said.code().code());
        if let Some(hint) = said.hint() {
            let _ = write!(text, "; hint: {hint}");
        }
        Self { sqlstate: Some(said.code().clone()), text }
    }

    /// Whether somebody else was in the way, so that another try may succeed.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.sqlstate, Some(SqlState::LOCK_NOT_AVAILABLE | SqlState::T_R_DEADLOCK_DETECTED))
    }
}
