use std::{
    env,
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::not_found::{NotFound, Refusal};

/// The major versions that the clusters of this crate are tested with.
pub(crate) const SUPPORTED: std::ops::RangeInclusive<u32> = 14..=18;

/// The two programs that a cluster needs. Neither `psql` nor `pg_ctl` is used.
const PROGRAMS: [&str; 2] = ["postgres", "initdb"];

/// A directory with PostgreSQL's server programs, of a supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    bin_dir: PathBuf,
    major: u32,
}

impl Installation {
    /// Finds the server programs on this system.
    ///
    /// `preferred` is what the user asked for (the variable `PG_BIN_DIR`): when given, only it is
    /// looked at. Otherwise the directories of `PATH` (behind symlinks), then the places of Debian,
    /// Red Hat, Homebrew and Postgres.app, the newest version first.
    ///
    /// # Errors
    /// When there are none of version 14 to 18; the message names the package to install.
    pub fn find(preferred: Option<&Path>) -> Result<Self, NotFound> {
        #[expect(clippy::disallowed_methods, reason = "PATH belongs to the system, not to our settings")]
        let path = env::var_os("PATH");
        match preferred {
            Some(bin_dir) => Self::in_dir(bin_dir),
            None => Self::first_of(candidates(path.as_deref(), Path::new("/"))),
        }
    }

    /// Takes the server programs in `bin_dir`.
    ///
    /// # Errors
    /// When `postgres` or `initdb` is missing there, or is not of version 14 to 18.
    pub fn in_dir(bin_dir: impl AsRef<Path>) -> Result<Self, NotFound> {
        Self::first_of([bin_dir.as_ref().to_owned()])
    }

    fn first_of(candidates: impl IntoIterator<Item = PathBuf>) -> Result<Self, NotFound> {
        let mut refusals = Vec::new();
        for candidate in candidates {
            match examine(&candidate) {
                Ok(found) => return Ok(found),
                Err(refusal) => refusals.push((candidate, refusal)),
            }
        }
        Err(NotFound::new(refusals))
    }

    /// The major version, such as 17.
    #[must_use]
    pub fn major_version(&self) -> u32 {
        self.major
    }

    /// The directory with `postgres` and `initdb`; their companions (`pg_dump`, ...) may be there too.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }
}

/// Looks at one directory.
fn examine(dir: &Path) -> Result<Installation, Refusal> {
    for program in PROGRAMS {
        if !is_executable(&dir.join(program)) {
            return Err(Refusal::Missing(program));
        }
    }
    // Behind symlinks, because PostgreSQL finds its share directory relative to the real one.
    let unusable = |error: io::Error| Refusal::Unusable(error.to_string());
    let postgres = fs::canonicalize(dir.join("postgres")).map_err(unusable)?;
    let bin_dir = match postgres.parent() {
        Some(parent) if is_executable(&parent.join("initdb")) => parent.to_owned(),
        _ => fs::canonicalize(dir).map_err(unusable)?,
    };
    let output = Command::new(&postgres).arg("--version").output().map_err(unusable)?;
    let text = String::from_utf8_lossy(&output.stdout);
    match parse_major(&text) {
        Some(major) if SUPPORTED.contains(&major) => Ok(Installation { bin_dir, major }),
        Some(_) => Err(Refusal::Unsupported(text.trim().to_owned())),
        None => Err(Refusal::Unusable(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// `postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)`, `... 18beta1`, `... 19devel`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

/// Every place worth a look, best first. `root` is `/` but for tests.
fn candidates(path: Option<&OsStr>, root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = path
        .map(|path| {
            env::split_paths(path).filter(|dir| dir.is_absolute() && is_executable(&dir.join("postgres"))).collect()
        })
        .unwrap_or_default();
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
        assert_eq!(parse_major("postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(parse_major("no such thing"), None);
    }

    #[test]
    fn the_path_comes_first_and_then_the_newest_version() {
        let root = std::env::temp_dir().join(format!("parlant-candidates-{}", std::process::id()));
        for dir in ["usr/lib/postgresql/9/bin", "usr/lib/postgresql/15/bin", "usr/lib/postgresql/17/bin", "own"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        let own = root.join("own");
        fs::write(own.join("postgres"), "").unwrap();
        fs::set_permissions(own.join("postgres"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = env::join_paths([root.join("usr"), own.clone()]).unwrap();

        let found = candidates(Some(&path), &root);

        let debian = root.join("usr/lib/postgresql");
        assert_eq!(found[..4], [own, debian.join("17/bin"), debian.join("15/bin"), debian.join("9/bin")]);
        fs::remove_dir_all(root).unwrap();
    }
}
