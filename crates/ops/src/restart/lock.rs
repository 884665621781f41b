use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Everybody may make files there, and only their owners may remove them.
const FOLDER: &str = "/run/lock";

/// The right to restart a unit. The kernel takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held")] File);

impl Lock {
    /// None while somebody else has it.
    pub(super) fn take(unit: &str) -> io::Result<Option<Self>> {
        let path = Path::new(FOLDER).join(format!("parlant-restart-{unit}"));
        let explain = |error| io::Error::other(format!("{}: {error}", path.display()));
        let file = open(&path).map_err(explain)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(explain(error)),
        }
    }
}

/// Read-only, since another operator may have made it.
fn open(path: &Path) -> io::Result<File> {
    let existing = || OpenOptions::new().read(true).open(path);
    match existing() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => existing(),
        opened => opened,
    }
}
