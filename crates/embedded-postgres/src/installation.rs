use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    not_found::{NotFound, Refusal},
    program::{Program, program_dirs},
};

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
    /// looked at. Otherwise the first of [`program_dirs`] that has them, behind symlinks.
    ///
    /// # Errors
    /// When there are none of version 14 to 18; the message names the package to install.
    pub fn find(preferred: Option<&Path>) -> Result<Self, NotFound> {
        let mut refusals = Vec::new();
        for dir in preferred.map_or_else(program_dirs, |dir| vec![dir.to_owned()]) {
            match examine(&dir) {
                Ok(found) => return Ok(found),
                Err(refusal) => refusals.push((dir, refusal)),
            }
        }
        Err(NotFound { refusals })
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
        if !Program::is_at(&dir.join(program)) {
            return Err(Refusal::Missing(program));
        }
    }
    // Behind symlinks, because PostgreSQL finds its share directory relative to the real one.
    let unusable = |error: io::Error| Refusal::Unusable(error.to_string());
    let postgres = fs::canonicalize(dir.join("postgres")).map_err(unusable)?;
    let bin_dir = match postgres.parent() {
        Some(parent) if Program::is_at(&parent.join("initdb")) => parent.to_owned(),
        _ => fs::canonicalize(dir).map_err(unusable)?,
    };
    let Program { version, major, .. } = Program::examine(&postgres).map_err(Refusal::Unusable)?;
    if SUPPORTED.contains(&major) { Ok(Installation { bin_dir, major }) } else { Err(Refusal::Unsupported(version)) }
}
