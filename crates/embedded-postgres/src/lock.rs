use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::PathBuf,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    Error,
    account::{Account, is_root},
};

/// How often a taken lock is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// A file whose lock the kernel releases when the last process that holds it is gone.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Opens the file, which shall be the account's, without taking the lock. Follows neither a
    /// symlink nor a second name, as the directory may be in the hands of another account.
    pub(crate) fn open(path: PathBuf, account: Account) -> Result<Self, Error> {
        let open = || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)?;
            let meta = file.metadata()?;
            if !meta.is_file() || meta.nlink() != 1 {
                return Err(io::Error::other("it is not a plain file"));
            }
            if is_root() {
                fchown(&file, Some(account.uid), Some(account.gid))?;
            }
            Ok(file)
        };
        let file = open().map_err(Error::io("open", &path))?;
        Ok(Self { path, file })
    }

    /// Waits at most `patience`; says whether the lock was taken.
    pub(crate) async fn take(&self, patience: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + patience;
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(PAUSE).await,
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(error)) => {
                    return Err(Error::io("lock", &self.path)(error));
                }
            }
        }
    }

    /// Writes our process id into the file, for the message of those who want the lock, too.
    pub(crate) fn sign(&mut self) -> Result<(), Error> {
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            writeln!(self.file, "{}", std::process::id())
        };
        write().map_err(Error::io("write", &self.path))
    }

    /// Who signed.
    pub(crate) fn signature(&self) -> Option<u32> {
        let mut text = String::new();
        (&self.file).take(32).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// The file, for a child that shall hold the lock as long as it lives.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}
