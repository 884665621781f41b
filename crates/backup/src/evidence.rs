use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::manifest::hex;
use crate::{Damage, Error, Manifest, Name, Store};

/// The layout of evidence that this program writes and reads.
const FORMAT_VERSION: u32 = 1;

/// That a backup was restored and compared, or why it could not be. It counts only for the very bytes that it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The layout of this file, 1.
    pub format_version: u32,
    /// The backup.
    pub name: Name,
    /// When it was examined.
    pub verified_at: DateTime<Utc>,
    /// How long that took.
    pub duration_seconds: f64,
    /// How: `read` (every byte) or `restore` (restored, and every table compared).
    pub level: Level,
    /// What is wrong; none when nothing is.
    pub damage: Option<Damage>,
    /// SHA-256 of the manifest's file.
    pub manifest_sha256: String,
    /// SHA-256 of the archive's file according to the manifest.
    pub archive_sha256: String,
    /// Tables that were compared.
    pub tables: usize,
    /// Rows that were compared.
    pub rows: u64,
    /// What took part.
    pub versions: Witnesses,
}

/// How closely a backup is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Every byte is read, decrypted, decompressed and understood by `pg_restore`.
    Read,
    /// It is restored as well, and every table compared with the manifest.
    Restore,
}

/// What took part in a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnesses {
    /// Of `parlant-backup`.
    pub program: String,
    /// Of `pg_restore`.
    pub pg_restore: String,
    /// The major version of the server that it was restored to.
    pub server_major: Option<u32>,
    /// Whether that server was a private one.
    pub private: bool,
}

impl Evidence {
    pub(crate) fn new(manifest: &Manifest, manifest_bytes: &[u8], level: Level, started: DateTime<Utc>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            name: manifest.name,
            verified_at: started,
            duration_seconds: 0.0,
            level,
            damage: None,
            manifest_sha256: sha256(manifest_bytes),
            archive_sha256: manifest.archive.sha256.clone(),
            tables: 0,
            rows: 0,
            versions: Witnesses::default(),
        }
    }

    /// Whether it is about this manifest, and so about this archive.
    pub(crate) fn is_about(&self, manifest_bytes: &[u8]) -> bool {
        self.format_version == FORMAT_VERSION && self.manifest_sha256 == sha256(manifest_bytes)
    }

    /// Writes it beside the backup, also beside the same backup elsewhere. Evidence for and against take each other's
    /// place, the old one first.
    pub async fn write(&self, store: &Store) -> Result<(), Error> {
        let [passed, failed] = Self::files(self.name);
        let (old, new) = if self.damage.is_none() { (failed, passed) } else { (passed, failed) };
        store.delete(&old).await?;
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Manifest { name: self.name.to_string(), reason: error.to_string() })?;
        store.write(&new, text).await
    }

    /// The files that evidence is in: when it passed, and when it failed.
    pub(crate) fn files(name: Name) -> [String; 2] {
        [format!("{name}.verified.json"), format!("{name}.failed.json")]
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
