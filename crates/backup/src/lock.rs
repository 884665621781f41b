use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use chrono::{SecondsFormat, Utc};

use crate::Error;

const FILE: &str = ".lock";

/// The right to change what is in a directory of backups. The kernel takes it back when the process ends, however
/// it ends.
#[derive(Debug)]
#[must_use = "the lock is given up when it is dropped"]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `dir`, which is made, for its owner alone, when it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`] says who has it. [`Error::Io`] when the directory cannot be written to.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::io("make", dir))?;
        let path = dir.join(FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = file.map_err(Error::io("write to", dir))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(Error::Locked(format!("{} (see {})", holder.trim(), path.display())));
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
        }
        let since = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let holder = format!("parlant-backup, process {}, since {since}\n", std::process::id());
        let signed = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
        signed.map_err(Error::io("write to", &path))?;
        Ok(Self { _file: file })
    }
}
