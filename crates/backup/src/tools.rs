//! The programs of PostgreSQL that are called, and what they are told.

use std::fmt;
use std::path::Path;

use parlant_embedded_postgres::{Program, program_dirs};
use tokio::process::Command;

use crate::Error;
use crate::store::blocking;

/// Most of a program's standard error that is kept, in bytes: its end.
const COMPLAINT_LIMIT: usize = 2000;

/// The system's authorities on Debian and on Red Hat.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Finds `program` (`pg_dump`, `pg_restore`) of major version `at_least` or newer: an older one cannot read what a
/// newer server has.
///
/// `preferred` is the variable `PG_BIN_DIR`: when given, only it is looked at, otherwise [`program_dirs`].
///
/// # Errors
/// [`Error::Program`] when there is none, or none that is new enough; the message says what was found.
pub(crate) async fn find_program(
    program: &'static str,
    preferred: Option<&Path>,
    at_least: u32,
) -> Result<Program, Error> {
    let dirs = preferred.map_or_else(program_dirs, |dir| vec![dir.to_owned()]);
    let mut refused = Vec::new();
    for path in dirs.iter().map(|dir| dir.join(program)).filter(|path| Program::is_at(path)) {
        let place = path.display().to_string();
        match blocking(move || Ok(Program::examine(&path))).await? {
            Ok(found) if found.major >= at_least => return Ok(found),
            Ok(found) => refused.push(format!("{place} is version {}", found.version)),
            Err(reason) => refused.push(format!("{place} {reason}")),
        }
    }
    let found = match (refused.is_empty(), preferred) {
        (false, _) => refused.join(", "),
        (true, Some(dir)) => format!("PG_BIN_DIR ({}) has none", dir.display()),
        (true, None) => {
            format!("none is installed: install postgresql-client-{at_least}, or set PG_BIN_DIR to its directory")
        }
    };
    let wanted = format!("version {at_least} or newer is needed, as the server is of version {at_least}");
    Err(Error::program(program, format!("{wanted}, but {found}")))
}

/// The program with `environment` and nothing else that could change what it does: no `PG*` variable of this process,
/// messages in English. It is killed when it is dropped.
pub(crate) fn command(program: &Program, environment: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(&program.path);
    command.env_clear().env("LC_ALL", "C").kill_on_drop(true);
    #[expect(clippy::disallowed_methods, reason = "the system's own, for its programs")]
    for name in ["PATH", "HOME", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    // Before version 16 libpq does not know the word.
    if program.major < 16 && environment.contains(&("PGSSLROOTCERT", "system".to_owned())) {
        command.envs(SYSTEM_ROOTS.iter().find(|file| Path::new(file).exists()).map(|file| ("PGSSLROOTCERT", file)));
    }
    command
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
