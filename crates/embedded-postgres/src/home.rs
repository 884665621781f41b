use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{
    Error,
    account::{Account, is_root},
    lock::{self, Lock},
};

/// The name inside the requested directory: the cluster itself, or a symlink to where it went.
const ENTRY: &str = "cluster";

/// Where clusters go whose requested place their account cannot reach.
const ELSEWHERE: &str = "/var/tmp";

/// Another owner is given this long: covers the instant in which a child that was just being
/// started by a former owner still holds its files.
const OWNER_PATIENCE: Duration = Duration::from_secs(1);

/// The supervisor of a killed owner needs at most 30 s and a bit to end its PostgreSQL.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(45);

/// The directory of a cluster that stays: `data`, `password`, `log`, `sockets`, `port` and two locks.
#[derive(Debug)]
pub(crate) struct Home {
    /// As the caller named it, made absolute; for messages.
    requested: PathBuf,
    dir: PathBuf,
    account: Option<Account>,
}

impl Home {
    /// Finds or makes the home of the cluster that was requested in `requested`.
    pub(crate) async fn settle(requested: &Path) -> Result<Self, Error> {
        let requested = std::path::absolute(requested).map_err(Error::io("find", requested))?;
        // As root the cluster's account must be able to walk through.
        let mode = if is_root() { 0o711 } else { 0o700 };
        DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&requested)
            .map_err(Error::io("create", &requested))?;
        let requested = requested
            .canonicalize()
            .map_err(Error::io("find", &requested))?;
        if let Some(home) = Self::existing(&requested)? {
            return Ok(home);
        }
        let account = Account::for_new_cluster()?;
        let entry = requested.join(ENTRY);
        match account {
            Some(account)
                if !account
                    .reaches(&requested)
                    .map_err(Error::io("enter", &requested))? =>
            {
                let dir = elsewhere(&requested);
                let home = Self {
                    requested,
                    dir,
                    account: Some(account),
                };
                home.discard_leftover().await?;
                home.make_directory()?;
                symlink(&home.dir, &entry).map_err(Error::io("create", &entry))?;
                Ok(home)
            }
            account => {
                let home = Self {
                    requested,
                    dir: entry,
                    account,
                };
                home.make_directory()?;
                Ok(home)
            }
        }
    }

    /// The home that a former start made, checked before anything in it is believed.
    fn existing(requested: &Path) -> Result<Option<Self>, Error> {
        let entry = requested.join(ENTRY);
        let dir = match entry.canonicalize() {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A symlink to what is no more is no home either.
                return match fs::remove_file(&entry) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(Error::io("remove", &entry)(error))
                    }
                    _ => Ok(None),
                };
            }
            Err(error) => return Err(Error::io("find", &entry)(error)),
        };
        let meta = fs::metadata(&dir).map_err(Error::io("examine", &dir))?;
        let account = Account::owner_of(&meta);
        check(&dir, &meta, account)?;
        Ok(Some(Self {
            requested: requested.to_owned(),
            dir,
            account,
        }))
    }

    fn make_directory(&self) -> Result<(), Error> {
        DirBuilder::new()
            .mode(0o700)
            .create(&self.dir)
            .map_err(Error::io("create", &self.dir))?;
        let Some(account) = self.account else {
            return Ok(());
        };
        let give = || {
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::DIRECTORY;
            let dir: File = OpenOptions::new()
                .read(true)
                .custom_flags(flags.bits().cast_signed())
                .open(&self.dir)?;
            fchown(dir, Some(account.uid), Some(account.gid))
        };
        give().map_err(Error::io("change the owner of", &self.dir))
    }

    /// What stands at the place elsewhere without a note in the requested directory: that directory
    /// was removed by hand, and with it, as its owner sees it, the data.
    async fn discard_leftover(&self) -> Result<(), Error> {
        let meta = match fs::symlink_metadata(&self.dir) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("examine", &self.dir)(error)),
        };
        // Ours before it was handed over, when a start was killed in between.
        let account = if meta.uid() == 0 { None } else { self.account };
        check(&self.dir, &meta, account)?;
        let _owner = self.take_ownership().await?;
        let _cluster = self.wait_for_former().await?;
        fs::remove_dir_all(&self.dir).map_err(Error::io("remove", &self.dir))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn account(&self) -> Option<Account> {
        self.account
    }

    /// Makes this process the one owner of the cluster.
    pub(crate) async fn take_ownership(&self) -> Result<Lock, Error> {
        let path = self.dir.join("owner.lock");
        let lock = Lock::take(&path, self.account, OWNER_PATIENCE).await?;
        let Some(mut lock) = lock else {
            return Err(Error::InUse {
                dir: self.requested.clone(),
                owner: lock::signature(&path),
            });
        };
        lock.sign(&path)?;
        Ok(lock)
    }

    /// Waits until nothing of a former owner's PostgreSQL runs any more, and takes the lock that the
    /// next one will hold. Call it as the owner.
    pub(crate) async fn wait_for_former(&self) -> Result<Lock, Error> {
        let path = self.dir.join("cluster.lock");
        if let Some(lock) = Lock::take(&path, self.account, Duration::ZERO).await? {
            return Ok(lock);
        }
        // Usually its supervisor is at work already; this is for the case that it was killed, too.
        let postmaster = self.former_postmaster();
        if let Some(pid) = postmaster {
            tracing::info!(
                pid = pid.as_raw_nonzero(),
                "waiting for the PostgreSQL of a former owner to stop"
            );
            let _ = kill_process(pid, Signal::INT);
        }
        let lock = Lock::take(&path, self.account, CLUSTER_PATIENCE).await?;
        lock.ok_or_else(|| Error::StillRunning {
            dir: self.dir.clone(),
            waited: CLUSTER_PATIENCE,
            pid: postmaster.map(|pid| pid.as_raw_nonzero().get().unsigned_abs()),
        })
    }

    /// The process in `postmaster.pid`, when it really is the postmaster of these data: its working
    /// directory is the data directory. Where that cannot be told, nobody is named.
    fn former_postmaster(&self) -> Option<Pid> {
        let data = self.dir.join("data");
        let pid = postmaster_pid(&data).and_then(|pid| Pid::from_raw(pid.cast_signed()))?;
        let its_directory = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok()?;
        (its_directory == data && test_kill_process(pid).is_ok()).then_some(pid)
    }

    /// Removes the cluster and all its data. Call it as the owner, with nothing running.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.dir).map_err(Error::io("remove", &self.dir))?;
        let entry = self.requested.join(ENTRY);
        match fs::remove_file(&entry) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &entry)(error))
            }
            _ => Ok(()),
        }
    }

    /// Opens the home without making one.
    pub(crate) fn find(requested: &Path) -> Result<Option<Self>, Error> {
        match requested.canonicalize() {
            Ok(requested) => Self::existing(&requested),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("find", requested)(error)),
        }
    }
}

/// The first line of `postmaster.pid`.
pub(crate) fn postmaster_pid(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("postmaster.pid"))
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// A database is only put where its account alone can read and write.
fn check(dir: &Path, meta: &fs::Metadata, account: Option<Account>) -> Result<(), Error> {
    let expected = account.map_or_else(
        || rustix::process::geteuid().as_raw(),
        |account| account.uid,
    );
    let problem = if !meta.is_dir() {
        "it is not a directory".to_owned()
    } else if meta.uid() != expected {
        format!("it belongs to user {}, not to user {expected}", meta.uid())
    } else if meta.mode() & 0o077 != 0 {
        format!("its mode is {:o} instead of 700", meta.mode() & 0o7777)
    } else if account.is_some_and(|account| account.uid == 0) {
        "it belongs to root, and PostgreSQL refuses to run as root".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Untrusted {
        path: dir.to_owned(),
        problem,
    })
}

/// The same place for the same request, so that a start finds what another one left.
fn elsewhere(requested: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    // FNV-1a: stable over versions of the standard library, which its own hasher is not.
    let hash = requested
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Path::new(ELSEWHERE).join(format!("parlant-postgres-{hash:016x}"))
}
