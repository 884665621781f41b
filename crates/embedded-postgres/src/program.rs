use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// One of PostgreSQL's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it calls its version, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// The major version, such as 15.
    pub major: u32,
}

impl Program {
    /// Asks the program at `path` for its version; waits until it has told it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn examine(path: &Path) -> Result<Self, String> {
        let output = Command::new(path).arg("--version").output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split_once("(PostgreSQL) ").map(|(_, version)| version.trim());
        match version.and_then(|version| Some((version, major_version(version)?))) {
            Some((version, major)) => Ok(Self { path: path.to_owned(), version: version.to_owned(), major }),
            None => {
                let complaint = String::from_utf8_lossy(&output.stderr);
                Err(format!("does not tell its version: {}", complaint.trim()))
            }
        }
    }

    /// Whether there is a program at `path`.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }
}

/// The number that `15.12 (Debian 15.12-0+deb12u2)`, `18beta1` or `19devel` begins with.
#[must_use]
pub fn major_version(version: &str) -> Option<u32> {
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

/// Every directory that PostgreSQL's programs may be in, best first: those of `PATH`, then the places of Debian,
/// Red Hat, Alpine, SUSE, Homebrew and Postgres.app, the newest version first.
#[must_use]
pub fn program_dirs() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "PATH belongs to the system, not to our settings")]
    let path = env::var_os("PATH").unwrap_or_default();
    candidates(&path, Path::new("/"))
}

/// `root` is `/` but for tests.
fn candidates(path: &OsStr, root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = env::split_paths(path).filter(|dir| dir.is_absolute()).collect();
    // Debian, Ubuntu; Red Hat from postgresql.org; Alpine; SUSE; Homebrew on both architectures; Postgres.app.
    for (parent, prefix, bin) in [
        ("usr/lib/postgresql", "", "bin"),
        ("usr", "pgsql-", "bin"),
        ("usr/libexec", "postgresql", ""),
        ("usr/lib", "postgresql", "bin"),
        ("opt/homebrew/opt", "postgresql@", "bin"),
        ("usr/local/opt", "postgresql@", "bin"),
        ("Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        found.extend(versioned(&root.join(parent), prefix, bin));
    }
    found.extend(["usr/bin", "usr/local/bin", "usr/local/pgsql/bin"].map(|dir| root.join(dir)));
    found
}

/// `parent/<prefix><number>/bin`, the highest number first.
fn versioned(parent: &Path, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path().join(bin)))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_betas_and_distributions_are_read() {
        assert_eq!(major_version("15.12 (Debian 15.12-0+deb12u2)"), Some(15));
        assert_eq!(major_version("18beta1"), Some(18));
        assert_eq!(major_version("9.6.24"), Some(9));
        assert_eq!(major_version("no such thing"), None);
    }

    #[test]
    fn the_path_comes_first_and_then_the_newest_version() {
        let root = env::temp_dir().join(format!("parlant-candidates-{}", std::process::id()));
        for dir in ["usr/lib/postgresql/9/bin", "usr/lib/postgresql/15/bin", "usr/lib/postgresql/17/bin", "own"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        let own = root.join("own");
        let path = env::join_paths([own.clone(), "relative".into()]).unwrap();

        let found = candidates(&path, &root);

        let debian = root.join("usr/lib/postgresql");
        assert_eq!(found[..4], [own, debian.join("17/bin"), debian.join("15/bin"), debian.join("9/bin")]);
        fs::remove_dir_all(root).unwrap();
    }
}
