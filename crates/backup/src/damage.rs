use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Difference;

/// Most things that are named in one message.
const NAMED: usize = 5;

/// Why a backup is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Damage {
    /// The archive is not there.
    Missing,
    /// The archive is cut off, or something was added to it.
    Size {
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// The archive's bytes are not those that were written.
    Digest,
    /// It cannot be decrypted with the identity that is configured. That may be the wrong one.
    Decryption {
        /// What `age` said.
        reason: String,
    },
    /// It cannot be decompressed.
    Compression {
        /// What zstd said.
        reason: String,
    },
    /// What it contains is of another size.
    PlainSize {
        /// Bytes that it should contain.
        expected: u64,
        /// Bytes that it contains.
        found: u64,
    },
    /// `pg_restore` cannot read it.
    Structure {
        /// What `pg_restore` said.
        reason: String,
    },
    /// `pg_restore` cannot restore it.
    Restore {
        /// What `pg_restore` said.
        reason: String,
    },
    /// What it restores to is not what was dumped.
    Content {
        /// The tables.
        differences: Vec<Difference>,
    },
}

impl Damage {
    /// Whether it lies in the backup for certain, and not perhaps in the key.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::Decryption { .. })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the archive is missing"),
            Self::Size { expected, found } => write!(f, "the archive has {found} bytes instead of {expected}"),
            Self::Digest => f.write_str("the archive's SHA-256 is not the manifest's: its bytes were changed"),
            Self::Decryption { reason } => write!(f, "the archive cannot be decrypted: {reason}"),
            Self::Compression { reason } => write!(f, "the archive cannot be decompressed: {reason}"),
            Self::PlainSize { expected, found } => write!(f, "the dump has {found} bytes instead of {expected}"),
            Self::Structure { reason } => write!(f, "pg_restore cannot read the dump: {reason}"),
            Self::Restore { reason } => write!(f, "pg_restore cannot restore the dump: {reason}"),
            Self::Content { differences } => {
                write!(f, "the restored tables are not those of the manifest: {}", list(differences))
            }
        }
    }
}

/// The first few of them, and how many more there are.
pub(crate) fn list(all: &[impl fmt::Display]) -> String {
    let shown: Vec<_> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
