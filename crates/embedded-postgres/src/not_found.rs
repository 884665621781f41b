use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::installation::SUPPORTED;

/// There is no usable PostgreSQL here. The message says what to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    pub(crate) refusals: Vec<(PathBuf, Refusal)>,
}

/// What is wrong with one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A program is not there.
    Missing(&'static str),
    /// The programs do not run; why.
    Unusable(String),
    /// The programs are too old or too new; their version.
    Unsupported(String),
}

impl std::error::Error for NotFound {}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (oldest, newest) = (SUPPORTED.start(), SUPPORTED.end());
        write!(f, "PostgreSQL's server programs (version {oldest} to {newest}) were not found")?;
        for (dir, refusal) in &self.refusals {
            let dir = dir.display();
            match refusal {
                // Only worth a word when the user named this one directory.
                Refusal::Missing(_) if self.refusals.len() > 1 => Ok(()),
                Refusal::Missing(program) => write!(f, "; {dir} has no {program}"),
                Refusal::Unusable(why) => write!(f, "; {dir}: {why}"),
                Refusal::Unsupported(version) => write!(f, "; {dir} has version {version}"),
            }?;
        }
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let remedy = remedy(&os_release, Path::new("/System/Library").exists());
        write!(f, ". {remedy}, or set PG_BIN_DIR to the directory that holds `postgres` and `initdb`.")
    }
}

/// How the package is installed here.
fn remedy(os_release: &str, macos: bool) -> String {
    let like: Vec<&str> = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .collect();
    let known: [(&[&str], &str); 5] = [
        (&["debian", "ubuntu"], "apt-get install postgresql"),
        (&["fedora", "rhel", "centos"], "dnf install postgresql-server"),
        (&["alpine"], "apk add postgresql"),
        (&["arch"], "pacman -S postgresql"),
        (&["suse", "opensuse"], "zypper install postgresql-server"),
    ];
    let command = known
        .iter()
        .find(|(ids, _)| ids.iter().any(|id| like.contains(id)))
        .map(|(_, command)| *command)
        .or(macos.then_some("brew install postgresql@17"));
    command.map_or_else(
        || "Install your system's PostgreSQL server package".to_owned(),
        |command| format!("Install them with `{command}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_of_systems_is_told_its_own_package() {
        for (os_release, package) in [
            ("ID=debian\nVERSION_ID=\"12\"", "apt-get install postgresql"),
            ("NAME=Mint\nID=linuxmint\nID_LIKE=\"ubuntu debian\"", "apt-get install postgresql"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "dnf install postgresql-server"),
            ("ID=fedora", "dnf install postgresql-server"),
            ("ID=alpine", "apk add postgresql"),
            ("ID=arch", "pacman -S postgresql"),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", "zypper install postgresql-server"),
        ] {
            assert!(remedy(os_release, false).contains(package), "{os_release}");
        }
        assert!(remedy("", true).contains("brew install"));
        assert!(remedy("ID=plan9", false).contains("your system's"));
    }

    #[test]
    fn the_message_names_what_was_wrong_and_the_way_out() {
        let dir = PathBuf::from("/opt/pg/bin");
        let missing = NotFound { refusals: vec![(dir.clone(), Refusal::Missing("initdb"))] }.to_string();
        assert!(missing.contains("/opt/pg/bin has no initdb") && missing.contains("PG_BIN_DIR"), "{missing}");

        let old = Refusal::Unsupported("9.6.24".to_owned());
        let message =
            NotFound { refusals: vec![(dir, old), ("/usr/bin".into(), Refusal::Missing("postgres"))] }.to_string();
        assert!(
            message.contains("14 to 18") && message.contains("9.6.24") && !message.contains("/usr/bin"),
            "{message}"
        );
    }
}
