use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::fingerprint::{Fingerprints, Scope};
use crate::{Error, Name};

/// What a backup is: written last, so that an archive with a manifest was finished, and everything that a restore
/// has to come out as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of this file, 1.
    pub format_version: u32,
    /// The backup's name.
    pub name: Name,
    /// When its snapshot was taken, by the clock of the machine that made it: the backup holds what was committed
    /// before.
    pub created_at: DateTime<Utc>,
    /// When the archive was complete.
    pub finished_at: DateTime<Utc>,
    /// What made it.
    pub versions: Versions,
    /// What it was made of.
    pub database: Database,
    /// The exported snapshot that the dump and the fingerprints share.
    pub snapshot: String,
    /// The write-ahead log's position at that time.
    pub lsn: String,
    /// The last migration of the bridge that was applied; none when its tables are not there.
    pub migration_version: Option<i32>,
    /// What part of the database it is.
    pub scope: Scope,
    /// How it was asked for.
    pub options: Options,
    /// What each table contains.
    pub tables: Fingerprints,
    /// The file with the data.
    pub archive: Archive,
}

/// Versions of the programs that took part, as they call themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Of `parlant-backup`.
    pub program: String,
    /// Of `pg_dump`.
    pub pg_dump: String,
    /// Of the server.
    pub server: String,
}

/// The database that was dumped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its encoding: only a database with the same one gives the same fingerprints.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// Its size on the server.
    pub size_bytes: u64,
    /// Extensions that must be installed where it is restored; without `plpgsql`, which always is.
    pub extensions: Vec<String>,
}

/// How the backup was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Restores leave the owners of things out.
    pub no_owner: bool,
    /// The archive has no GRANTs.
    pub no_privileges: bool,
}

/// The file with the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// Its name, in the directory of the manifest.
    pub file: String,
    /// What is inside: `custom`, for `pg_restore`.
    pub format: String,
    /// `zstd`.
    pub compression: String,
    /// `age`, or none.
    pub encryption: Option<String>,
    /// The file's size.
    pub size_bytes: u64,
    /// The file's SHA-256, hexadecimal.
    pub sha256: String,
    /// The size of what is inside.
    pub plain_size_bytes: u64,
}

impl Manifest {
    /// The layout of manifests that this program writes and reads.
    pub const FORMAT_VERSION: u32 = 1;

    /// Reads the manifest of `name`.
    ///
    /// # Errors
    /// [`Error::Manifest`] when it is no manifest, one of a later version, or of another backup.
    pub fn parse(name: Name, bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Manifest { name: name.to_string(), reason };
        let version: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        match version["format_version"].as_u64() {
            Some(version) if version == u64::from(Self::FORMAT_VERSION) => {}
            Some(version) => return Err(refuse(format!("its format {version} is not known here"))),
            None => return Err(refuse("it has no format_version".to_owned())),
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        if manifest.name != name {
            return Err(refuse(format!("it belongs to {}", manifest.name)));
        }
        if manifest.archive.file != name.archive_file(manifest.archive.encryption.is_some()) {
            return Err(refuse("it names the archive of another backup".to_owned()));
        }
        Ok(manifest)
    }

    /// As it is written.
    ///
    /// # Errors
    /// Never, unless memory is short.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Manifest { name: self.name.to_string(), reason: error.to_string() })
    }
}

/// A digest as manifests have it.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
