use std::{io, path::PathBuf, time::Duration};

use crate::NotFound;

/// Why a cluster could not be started or removed. Nothing in it is secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The binaries are not there or not of a supported version.
    #[error(transparent)]
    NotFound(#[from] NotFound),

    /// Started as root on a system without any account to hand the cluster to.
    #[error(
        "PostgreSQL refuses to run as root, and this system has neither a user \"postgres\" nor \
         \"nobody\" to run it as; start as an ordinary user instead"
    )]
    NoAccount,

    /// The account that the cluster runs as cannot run the programs.
    #[error(
        "PostgreSQL runs as user {uid}, who cannot enter {}; give that user access (chmod o+x on it and \
         the directories above it), or set PG_BIN_DIR to another installation",
        bin_dir.display()
    )]
    Unreachable {
        /// Where the programs are.
        bin_dir: PathBuf,
        /// The account's user id.
        uid: u32,
    },

    /// There is nowhere to put a temporary cluster.
    #[error("user {uid} may write neither in TMPDIR nor in /tmp nor in /var/tmp")]
    NoTemporaryPlace {
        /// The user id of the account that the cluster would run as.
        uid: u32,
    },

    /// No port of the loopback interface could be had.
    #[error("no free port on 127.0.0.1: {0}")]
    NoPort(#[source] io::Error),

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

    /// The owner is gone, but its PostgreSQL does not end.
    #[error(
        "the PostgreSQL that a former owner left in {} still runs after {} s{}",
        dir.display(),
        waited.as_secs(),
        pid.map_or_else(String::new, |pid| format!("; end process {pid} and start again"))
    )]
    StillRunning {
        /// The cluster's directory.
        dir: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// Its postmaster, where it could be told.
        pid: Option<u32>,
    },

    /// The directory exists and belongs to somebody else, or others may enter it.
    #[error(
        "{} cannot be trusted with a database: {problem}; remove it or choose another directory",
        path.display()
    )]
    Untrusted {
        /// The directory that was looked at.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// The data were written by another major version.
    #[error(
        "the data in {} were written by PostgreSQL {data}, but the binaries in {} are PostgreSQL \
         {installed}; point PG_BIN_DIR at the binaries of version {data}, move the data with \
         pg_upgrade, or remove the directory to start over",
        dir.display(),
        bin_dir.display()
    )]
    OtherMajor {
        /// The cluster's directory.
        dir: PathBuf,
        /// The version that wrote the data.
        data: u32,
        /// The version of the binaries.
        installed: u32,
        /// Where the binaries are.
        bin_dir: PathBuf,
    },

    /// The data are there, the superuser's password is not, or is not the right one.
    #[error(
        "the password in {} does not open the cluster next to it ({problem}); restore it or remove \
         the directory to start over",
        path.display()
    )]
    Password {
        /// The password file.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },

    /// PostgreSQL ended instead of serving.
    #[error("PostgreSQL did not start in {}; the end of its log:\n{log}", dir.display())]
    Start {
        /// The cluster's directory.
        dir: PathBuf,
        /// The last lines that `initdb` or `postgres` wrote.
        log: String,
    },

    /// PostgreSQL neither served nor ended in time.
    #[error(
        "PostgreSQL in {} was not ready after {} s; the end of its log:\n{log}",
        dir.display(),
        waited.as_secs()
    )]
    TimedOut {
        /// The cluster's directory.
        dir: PathBuf,
        /// How long it was waited for.
        waited: Duration,
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
}
