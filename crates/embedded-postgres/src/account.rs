use std::{
    fs::Metadata,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use crate::Error;

/// Whom a cluster belongs to and runs as. Never root: PostgreSQL refuses to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// For a new cluster: ourselves, or as root `postgres` or else `nobody`.
    pub(crate) fn for_new_cluster() -> Result<Self, Error> {
        if !is_root() {
            return Ok(Self::own());
        }
        ["postgres", "nobody"].into_iter().find_map(look_up).ok_or_else(|| {
            Error::Refused(
                "PostgreSQL refuses to run as root, and this system has neither a user \"postgres\" nor \"nobody\" to run \
                 it as; start as an ordinary user instead"
                    .to_owned(),
            )
        })
    }

    /// For a cluster that exists: as root whoever owns it.
    pub(crate) fn for_existing(home: &Metadata) -> Self {
        if is_root() { Self { uid: home.uid(), gid: home.gid() } } else { Self::own() }
    }

    fn own() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        Self { uid: uid.as_raw(), gid: gid.as_raw() }
    }

    /// Whether the account can enter `dir`.
    pub(crate) fn enters(self, dir: &Path) -> bool {
        self.finds_true(dir, "test -x .")
    }

    /// Whether the account can make and remove entries in `dir`.
    pub(crate) fn writes(self, dir: &Path) -> bool {
        self.finds_true(dir, "test -x . && test -w .")
    }

    /// Asks by trying, because modes alone do not tell (access lists, read-only mounts).
    fn finds_true(self, dir: &Path, condition: &str) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", condition]).current_dir(dir).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut command);
        command.status().is_ok_and(|status| status.success())
    }

    /// Makes the command run as this account. The standard library clears supplementary groups, too.
    pub(crate) fn apply(self, command: &mut Command) {
        if is_root() {
            command.uid(self.uid).gid(self.gid);
        }
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Asks `id`, which knows every source of accounts that the system is configured with.
fn look_up(name: &str) -> Option<Account> {
    let id = |flag| -> Option<u32> {
        let output = Command::new("id").args([flag, name]).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    let (uid, gid) = (id("-u")?, id("-g")?);
    (uid != 0).then_some(Account { uid, gid })
}
