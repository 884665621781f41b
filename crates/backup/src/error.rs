use std::io;
use std::path::{Path, PathBuf};

/// Why an operation on backups failed. Nothing in it is secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] parlant_db_pool::Error),
    /// The database refused a statement.
    #[error("the database would not {doing}")]
    Database {
        /// What the statement was for.
        doing: &'static str,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// A file or directory.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A store of backups.
    #[error("cannot {doing} {place}: {reason}")]
    Store {
        /// What was tried.
        doing: &'static str,
        /// With what.
        place: String,
        /// What the service or the connection to it said.
        reason: String,
    },
    /// A program that is needed is missing, too old, or failed.
    #[error("{program}: {reason}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What is wrong, with the end of what it wrote to standard error.
        reason: String,
    },
    /// A check said no before anything was done.
    #[error("{0}")]
    Refused(String),
    /// Somebody else is at it.
    #[error("locked by {0}")]
    Locked(String),
    /// A backup is not what it should be.
    #[error("{name} is damaged: {damage}")]
    Damaged {
        /// The backup.
        name: String,
        /// What is wrong with it.
        damage: crate::Damage,
    },
    /// Nothing may be deleted now.
    #[error(transparent)]
    Clock(#[from] crate::ClockJump),
    /// Not the manifest of a backup that this program knows.
    #[error("the manifest of {name} cannot be used: {reason}")]
    Manifest {
        /// The backup.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody, or a time limit, ended it.
    #[error("interrupted by {0}")]
    Interrupted(String),
}

impl Error {
    /// Whether it says that a file is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// For `map_err` on what the database answers.
    pub(crate) fn database(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    /// For `map_err` on what the file system answers.
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn program(program: &'static str, reason: impl Into<String>) -> Self {
        Self::Program { program, reason: reason.into() }
    }
}
