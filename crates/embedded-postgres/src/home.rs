use std::{
    env,
    fs::{self, DirBuilder, Metadata, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown, symlink},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::OFlags,
    process::{Pid, Signal, kill_process},
};

use crate::{
    Error,
    account::{Account, is_root},
    lock::Lock,
};

/// The name inside the requested directory: the cluster itself, or a symlink to where it went.
const ENTRY: &str = "cluster";

/// Where clusters go whose account cannot reach the requested directory.
const ELSEWHERE: &str = "/var/tmp";

/// How long to wait for another owner: just enough for the moment in which a child that it was
/// starting when it was killed still holds its files.
const OWNER_PATIENCE: Duration = Duration::from_secs(1);

/// The supervisor of a killed owner ends its PostgreSQL within 30 s and a little.
const FORMER_PATIENCE: Duration = Duration::from_secs(45);

/// The directory that a persistent cluster was requested in, owned by this process.
#[derive(Debug)]
pub(crate) struct Request {
    dir: PathBuf,
    /// Held as long as the request is.
    _owner: Lock,
}

/// Where a cluster is: the directory with `data`, `password`, `port`, `log`, `sockets` and, of a persistent one,
/// `running.lock`.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    pub(crate) account: Account,
}

/// Whose number is in `postmaster.pid`.
enum Named {
    /// The postmaster's of these data.
    Postmaster(u32),
    /// Nobody's, or that of somebody who got it later.
    Nobody,
    /// Cannot be told, or there is none.
    Unknown,
}

impl Request {
    /// Makes the directory if it is missing, and this process the owner of the cluster in it.
    pub(crate) async fn make(dir: &Path) -> Result<Self, Error> {
        // As root the cluster's account must be able to walk through.
        let mode = if is_root() { 0o711 } else { 0o700 };
        DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(Error::io("create", dir))?;
        Self::own(dir.canonicalize().map_err(Error::io("find", dir))?).await
    }

    /// The same for a directory that may not be there.
    pub(crate) async fn find(dir: &Path) -> Result<Option<Self>, Error> {
        match dir.canonicalize() {
            Ok(dir) => Self::own(dir).await.map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("find", dir)(error)),
        }
    }

    async fn own(dir: PathBuf) -> Result<Self, Error> {
        let meta = fs::metadata(&dir).map_err(Error::io("examine", &dir))?;
        let mut owner = Lock::open(dir.join("owner.lock"), Account::for_existing(&meta))?;
        if !owner.take(OWNER_PATIENCE).await? {
            return Err(Error::InUse { dir, owner: owner.signature() });
        }
        owner.sign()?;
        Ok(Self { dir, _owner: owner })
    }

    /// The home of the cluster, made if it is missing.
    pub(crate) async fn home(&self) -> Result<Home, Error> {
        if let Some(home) = self.existing_home()? {
            return Ok(home);
        }
        let account = Account::for_new_cluster()?;
        let entry = self.dir.join(ENTRY);
        if account.enters(&self.dir) {
            let home = Home { dir: entry, account };
            home.create()?;
            return Ok(home);
        }
        let home = Home { dir: elsewhere(&self.dir), account };
        home.discard_leftover().await?;
        home.create()?;
        symlink(&home.dir, &entry).map_err(Error::io("create", &entry))?;
        tracing::info!(requested = %self.dir.display(), dir = %home.dir.display(),
            "the cluster's account cannot reach the requested directory; the cluster is elsewhere");
        Ok(home)
    }

    /// The home that an earlier start made, checked before anything in it is believed.
    pub(crate) fn existing_home(&self) -> Result<Option<Home>, Error> {
        let entry = self.dir.join(ENTRY);
        let dir = match entry.canonicalize() {
            Ok(dir) => dir,
            // A symlink to what is no more is no home either.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.forget().map(|()| None);
            }
            Err(error) => return Err(Error::io("find", &entry)(error)),
        };
        let meta = fs::metadata(&dir).map_err(Error::io("examine", &dir))?;
        if meta.uid() == 0 && fs::remove_dir(&dir).is_ok() {
            // Empty and not yet given to its account: somebody was killed at that very moment.
            return Ok(None);
        }
        let account = Account::for_existing(&meta);
        if account.uid == 0 {
            return Err(untrusted(&dir, "it belongs to root, and PostgreSQL refuses to run as root"));
        }
        check(&dir, &meta, account.uid)?;
        Ok(Some(Home { dir, account }))
    }

    /// Removes the symlink to a home elsewhere, if there is one.
    pub(crate) fn forget(&self) -> Result<(), Error> {
        let entry = self.dir.join(ENTRY);
        match fs::remove_file(&entry) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &entry)(error)),
            _ => Ok(()),
        }
    }
}

impl Home {
    /// One for a temporary cluster. The account itself makes the directory, so that it can remove it when we are gone.
    pub(crate) fn temporary() -> Result<Self, Error> {
        let account = Account::for_new_cluster()?;
        let places = [env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
        let mut places = places.into_iter().filter_map(|place| place.canonicalize().ok());
        match places.find(|place| account.writes(place)) {
            Some(place) => {
                Ok(Self { dir: place.join(format!("parlant-postgres-{:016x}", rand::random::<u64>())), account })
            }
            None => Err(Error::Refused(format!(
                "user {} may write neither in TMPDIR nor in /tmp nor in /var/tmp",
                account.uid
            ))),
        }
    }

    fn create(&self) -> Result<(), Error> {
        DirBuilder::new().mode(0o700).create(&self.dir).map_err(Error::io("create", &self.dir))?;
        let give = || {
            // By its handle: between the two calls somebody else might have changed the name.
            let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
            let dir = OpenOptions::new().read(true).custom_flags(flags).open(&self.dir)?;
            fchown(dir, Some(self.account.uid), Some(self.account.gid))
        };
        if is_root() { give().map_err(Error::io("hand over", &self.dir)) } else { Ok(()) }
    }

    /// A cluster elsewhere that no request points to: the requested directory was removed by hand,
    /// and with it, as its owner sees it, the data.
    async fn discard_leftover(&self) -> Result<(), Error> {
        let meta = match fs::symlink_metadata(&self.dir) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("examine", &self.dir)(error)),
        };
        // Root's when it was not yet given to its account.
        check(&self.dir, &meta, if meta.uid() == 0 { 0 } else { self.account.uid })?;
        let _running = self.wait_for_former().await?;
        self.remove()
    }

    /// Waits until nothing of a former owner's PostgreSQL runs any more, and takes the lock that
    /// every process of the next one will hold.
    pub(crate) async fn wait_for_former(&self) -> Result<Lock, Error> {
        let lock = Lock::open(self.dir.join("running.lock"), self.account)?;
        if !lock.take(Duration::ZERO).await? {
            // Its supervisor is at work already, unless that was killed, too.
            let pid = match self.named() {
                Named::Postmaster(pid) => Some(pid),
                Named::Nobody | Named::Unknown => None,
            };
            tracing::info!(pid, dir = %self.dir.display(), "waiting for the PostgreSQL of a former owner to stop");
            if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
                let _ = kill_process(pid, Signal::INT);
            }
            if !lock.take(FORMER_PATIENCE).await? {
                let end = pid.map_or_else(String::new, |pid| format!("; end process {pid} and start again"));
                return Err(Error::Refused(format!(
                    "the PostgreSQL that a former owner left in {} still runs after {} s{end}",
                    self.dir.display(),
                    FORMER_PATIENCE.as_secs()
                )));
            }
        }
        if let Named::Nobody = self.named() {
            let pid_file = self.dir.join("data/postmaster.pid");
            fs::remove_file(&pid_file).map_err(Error::io("remove", &pid_file))?;
        }
        Ok(lock)
    }

    /// A postmaster works in its data directory, which tells it from others. PostgreSQL itself only asks
    /// whether there is a process of that number, and would be kept from starting by one that got it
    /// later, or by a killed one whose exit status nobody collects, as in a container without an init.
    fn named(&self) -> Named {
        let data = self.dir.join("data");
        let Some(pid) = postmaster_pid(&data) else {
            return Named::Unknown;
        };
        match fs::read_link(format!("/proc/{pid}/cwd")) {
            Ok(dir) if dir == data => Named::Postmaster(pid),
            Ok(_) => Named::Nobody,
            Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self").exists() => Named::Nobody,
            Err(_) => Named::Unknown,
        }
    }

    /// Removes the cluster with all its data. Nothing may run.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.dir).map_err(Error::io("remove", &self.dir))
    }
}

/// The postmaster's process id, as it wrote it into its data directory.
pub(crate) fn postmaster_pid(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// A database is only kept where its account alone can read and write.
fn check(dir: &Path, meta: &Metadata, uid: u32) -> Result<(), Error> {
    let problem = if !meta.is_dir() {
        "it is not a directory".to_owned()
    } else if meta.uid() != uid {
        format!("it belongs to user {}, not to user {uid}", meta.uid())
    } else if meta.mode() & 0o077 != 0 {
        format!("its mode is {:o} instead of 700", meta.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(untrusted(dir, &problem))
}

fn untrusted(dir: &Path, problem: &str) -> Error {
    Error::Refused(format!(
        "{} cannot be trusted with a database: {problem}; remove it or choose another directory",
        dir.display()
    ))
}

/// The same place for the same request, so that a start finds what an earlier one left.
fn elsewhere(requested: &Path) -> PathBuf {
    // FNV-1a, which stays the same, unlike the standard library's hash.
    let hash = requested
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    Path::new(ELSEWHERE).join(format!("parlant-postgres-{hash:016x}"))
}
