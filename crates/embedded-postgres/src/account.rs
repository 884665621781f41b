use std::{
    fs::Metadata,
    io,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use crate::Error;

/// The unprivileged account that a cluster runs as when its owner is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// For a new cluster: `None` for an ordinary user, who runs it himself; else `postgres` or `nobody`.
    pub(crate) fn for_new_cluster() -> Result<Option<Self>, Error> {
        if !is_root() {
            return Ok(None);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(look_up)
            .map(Some)
            .ok_or(Error::NoAccount)
    }

    /// For a cluster that exists: the account that owns it, when that is somebody else and we are root.
    pub(crate) fn owner_of(home: &Metadata) -> Option<Self> {
        is_root().then_some(Self {
            uid: home.uid(),
            gid: home.gid(),
        })
    }

    /// Whether the account can enter `dir`: tried, because modes alone do not tell (ACLs, mounts).
    pub(crate) fn reaches(self, dir: &Path) -> io::Result<bool> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", ":"])
            .current_dir(dir)
            .stdin(Stdio::null())
            .env_clear();
        self.drop_privileges(&mut command);
        match command.status() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The command will run as this account. The standard library clears the supplementary groups, too.
    pub(crate) fn drop_privileges(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Asks `id`, which knows every source of accounts that the system is configured for.
fn look_up(name: &str) -> Option<Account> {
    let id = |flag| -> Option<u32> {
        let output = Command::new("id")
            .args([flag, name])
            .stderr(Stdio::null())
            .output()
            .ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    let (uid, gid) = (id("-u")?, id("-g")?);
    (uid != 0).then_some(Account { uid, gid })
}
