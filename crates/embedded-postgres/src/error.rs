use std::{io, path::PathBuf};

use crate::NotFound;

/// Why a cluster could not be started or removed. Nothing in it is secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The binaries are not there or not of a supported version.
    #[error(transparent)]
    NotFound(#[from] NotFound),

    /// This system, or the directory, cannot have the cluster as it is. The message says what to do about it.
    #[error("{0}")]
    Refused(String),

    /// Another live process owns the cluster.
    #[error(
        "the PostgreSQL cluster in {} is in use by {}; stop that one first or choose another directory",
        dir.display(),
        owner.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The requested directory.
        dir: PathBuf,
        /// The owner, when it has written its id already.
        owner: Option<u32>,
    },

    /// PostgreSQL ended instead of serving, or did neither in time.
    #[error("PostgreSQL {problem} in {}; the end of its log:\n{log}", dir.display())]
    Start {
        /// What it did instead.
        problem: &'static str,
        /// The cluster's directory.
        dir: PathBuf,
        /// The last lines that `initdb` or `postgres` wrote.
        log: String,
    },

    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Another process was faster to take the port that was free a moment before.
    pub(crate) fn is_lost_port(&self) -> bool {
        matches!(self, Self::Start { log, .. } if log.contains("could not create any TCP/IP sockets"))
    }

    /// For `map_err`: names what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The superuser's password is not there, or not the right one.
    pub(crate) fn password(path: &std::path::Path, problem: impl std::fmt::Display) -> Self {
        Self::Refused(format!(
            "the password in {} does not open the cluster next to it ({problem}); restore it or remove the directory to \
             start over",
            path.display()
        ))
    }
}
