use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::Path,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{Error, account::Account};

/// How often a taken lock is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// A lock on a file that the kernel releases when the last process holding the file is gone.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Waits at most `patience` for the lock; `None` when somebody still holds it then.
    pub(crate) async fn take(
        path: &Path,
        account: Option<Account>,
        patience: Duration,
    ) -> Result<Option<Self>, Error> {
        let file = open(path, account)?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { file })),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(PAUSE).await,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
            }
        }
    }

    /// Writes this process' id into the file, for the message that another one will print.
    pub(crate) fn sign(&mut self, path: &Path) -> Result<(), Error> {
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            writeln!(self.file, "{}", std::process::id())
        };
        write().map_err(Error::io("write", path))
    }

    /// The file, for a child that shall hold the lock as long as it lives.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

/// Who signed the lock, if it can be read.
pub(crate) fn signature(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(32)
        .read_to_string(&mut text)
        .ok()?;
    text.trim().parse().ok()
}

/// Opens without following a symlink or a second name: the directory may belong to another account.
fn open(path: &Path, account: Option<Account>) -> Result<File, Error> {
    let open = || {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() || meta.nlink() > 1 {
            return Err(std::io::Error::other("not a plain file"));
        }
        if let Some(account) = account {
            fchown(&file, Some(account.uid), Some(account.gid))?;
        }
        Ok(file)
    };
    open().map_err(Error::io("open", path))
}
