use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::{Alert, Key, Notification};

const FILE: &str = "alerts.json";
const TEMPORARY: &str = "alerts.json.new";
const ASIDE: &str = "alerts.json.unreadable";
const LOCK: &str = "lock";
/// No state is larger: the numbers of alerts and messages are bounded.
const SIZE_LIMIT: u64 = 64 * 1024 * 1024;

/// Of the file; one with a greater number is of a later version of this crate.
const VERSION: u32 = 1;

/// What a state file says: what is known of the alerts, and what waits to be sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// When it was written, which is when something changed.
    pub at: DateTime<Utc>,
    /// The rules that nobody could judge.
    pub unknown: BTreeSet<String>,
    /// Alerts that are about to fire, fire, or have lately fired.
    pub alerts: Vec<(Key, Alert)>,
    /// By the notifier's name, what it has to send, the next first.
    pub queues: BTreeMap<String, VecDeque<Notification>>,
}

impl State {
    /// What the state file in `dir` says; none when there is none. Whoever runs may write another in the meantime.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        let text = match File::open(dir.join(FILE)).and_then(|file| io::read_to_string(file.take(SIZE_LIMIT))) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Versioned { version, .. } = serde_json::from_str::<Versioned<IgnoredAny>>(&text)?;
        if version != VERSION {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is of version {version}, not {VERSION}"),
            ));
        }
        Ok(Some(serde_json::from_str(&text)?))
    }
}

/// The whole of the file.
#[derive(Serialize, Deserialize)]
struct Versioned<S> {
    version: u32,
    #[serde(flatten)]
    state: S,
}

/// A directory that is this process's alone, and the state in it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Directory {
    /// None: another process has it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The state; one that cannot be used is set aside.
    pub(crate) fn read(&self) -> io::Result<Option<State>> {
        match State::read(&self.path) {
            Err(error)
                if error.kind() == io::ErrorKind::InvalidData || error.kind() == io::ErrorKind::UnexpectedEof =>
            {
                fs::rename(self.path.join(FILE), self.path.join(ASIDE))?;
                tracing::error!(
                    "{} cannot be used and is now {ASIDE}: {error}. Alerts that still fire are told again.",
                    self.path.join(FILE).display()
                );
                Ok(None)
            }
            state => state,
        }
    }

    /// Afterwards the file has all of it, or all of what it had, whatever happens.
    pub(crate) fn write(&self, state: &State) -> io::Result<()> {
        let temporary = self.path.join(TEMPORARY);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(&Versioned { version: VERSION, state })?)?;
        file.sync_all()?;
        fs::rename(temporary, self.path.join(FILE))?;
        File::open(&self.path)?.sync_all()
    }
}
