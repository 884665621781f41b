//! The programs of PostgreSQL that are called, and what they are told.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Error;

/// Most of a program's standard error that is kept, in bytes: its end.
const COMPLAINT_LIMIT: usize = 2000;

/// The system's authorities on Debian and on Red Hat.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// A program of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Where it is.
    pub path: PathBuf,
    /// What it calls its version, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// The major version, such as 15.
    pub major: u32,
}

impl Tool {
    /// Finds `program` (`pg_dump`, `pg_restore`) of major version `at_least` or newer: an older one cannot read what a
    /// newer server has.
    ///
    /// `preferred` is the variable `PG_BIN_DIR`: when given, only it is looked at. Otherwise the directories of `PATH`,
    /// then the places of Debian and Red Hat, the newest version first.
    ///
    /// # Errors
    /// [`Error::Program`] when there is none, or none that is new enough; the message says what was found.
    pub async fn find(program: &'static str, preferred: Option<&Path>, at_least: u32) -> Result<Self, Error> {
        let places = preferred.map_or_else(places, |dir| vec![dir.to_owned()]);
        let mut refused = Vec::new();
        for path in places.iter().map(|dir| dir.join(program)).filter(|path| is_executable(path)) {
            match examine(&path).await {
                Ok(tool) if tool.major >= at_least => return Ok(tool),
                Ok(tool) => refused.push(format!("{} is version {}", path.display(), tool.version)),
                Err(reason) => refused.push(format!("{} {reason}", path.display())),
            }
        }
        let wanted = format!("version {at_least} or newer is needed, as the server is of version {at_least}");
        Err(Error::program(
            program,
            match (refused.is_empty(), preferred) {
                (false, _) => format!("{wanted}, but {}", refused.join(", ")),
                (true, Some(dir)) => format!("{wanted}, but PG_BIN_DIR ({}) has none", dir.display()),
                (true, None) => format!(
                    "{wanted}, but none is installed: install postgresql-client-{at_least}, or set PG_BIN_DIR to its directory"
                ),
            },
        ))
    }

    /// The program with `environment` and nothing else that could change what it does: no `PG*` variable of this
    /// process, messages in English. It is killed when it is dropped.
    #[must_use]
    pub fn command(&self, environment: &[(&'static str, String)]) -> Command {
        let mut command = Command::new(&self.path);
        command.env_clear().env("LC_ALL", "C").kill_on_drop(true);
        #[expect(clippy::disallowed_methods, reason = "the system's own, for its programs")]
        for name in ["PATH", "HOME", "TMPDIR"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        // Before version 16 libpq does not know the word.
        if self.major < 16 && environment.contains(&("PGSSLROOTCERT", "system".to_owned())) {
            command.envs(SYSTEM_ROOTS.iter().find(|file| Path::new(file).exists()).map(|file| ("PGSSLROOTCERT", file)));
        }
        command
    }
}

async fn examine(path: &Path) -> Result<Tool, String> {
    let mut command = Command::new(path);
    let output = command.arg("--version").kill_on_drop(true).output().await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_once("(PostgreSQL) ").map(|(_, version)| version.trim());
    let major = version.and_then(|version| {
        let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
        version.get(..end)?.parse().ok()
    });
    match (version, major) {
        (Some(version), Some(major)) => Ok(Tool { path: path.to_owned(), version: version.to_owned(), major }),
        _ => Err(format!("does not tell its version {}", Complaint(&output.stderr))),
    }
}

/// Where programs may be.
fn places() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "PATH belongs to the system, not to our settings")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let mut versions: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        places.extend(versions.into_iter().map(|(_, dir)| dir));
    }
    places
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The end of what a program wrote to standard error, on one line.
pub(crate) struct Complaint<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0[self.0.len().saturating_sub(COMPLAINT_LIMIT)..]);
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        f.write_str(&lines.join("; "))
    }
}
