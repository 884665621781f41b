use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "parlant_backup_";
const FORMAT: &str = "%Y%m%d_%H%M%S";
/// What files are called that nobody finished.
pub(crate) const TEMPORARY: &str = ".tmp";
const MANIFEST: &str = ".manifest.json";
const ARCHIVE: &str = ".dump.zst";
const ENCRYPTED: &str = ".age";

/// A backup's name, `parlant_backup_YYYYMMDD_HHMMSS`: the second, in UTC, in which it was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Name(DateTime<Utc>);

/// Not the name of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a backup, parlant_backup_YYYYMMDD_HHMMSS")]
pub struct NotAName;

impl Name {
    /// The name of a backup that begins at `time`.
    #[must_use]
    pub fn new(time: DateTime<Utc>) -> Self {
        Self(time.trunc_subsecs(0))
    }

    /// When it was begun.
    #[must_use]
    pub fn time(self) -> DateTime<Utc> {
        self.0
    }

    /// The file of its data.
    #[must_use]
    pub fn archive_file(self, encrypted: bool) -> String {
        format!("{self}{ARCHIVE}{}", if encrypted { ENCRYPTED } else { "" })
    }

    /// The file that says what the data is. It is written last: without it there is no backup.
    #[must_use]
    pub fn manifest_file(self) -> String {
        format!("{self}{MANIFEST}")
    }

    /// The name of the backup that a file belongs to: its manifest, its archive, or what else is named after it.
    #[must_use]
    pub fn of_file(file: &str) -> Option<Self> {
        file.split_once('.').map_or(file, |(name, _)| name).parse().ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.format(FORMAT))
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let time = text.strip_prefix(PREFIX).and_then(|time| NaiveDateTime::parse_from_str(time, FORMAT).ok());
        let name = Self(time.ok_or(NotAName)?.and_utc());
        // The parser is more generous than the writer.
        if name.to_string() == text { Ok(name) } else { Err(NotAName) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_second_in_utc_and_nothing_else_is_one() {
        let time: DateTime<Utc> = "2026-11-23T20:04:05.678Z".parse().unwrap();
        let name = Name::new(time);
        assert_eq!(name.to_string(), "parlant_backup_20261123_200405");
        assert_eq!(name.to_string().parse(), Ok(name));
        assert_eq!(name.archive_file(true), "parlant_backup_20261123_200405.dump.zst.age");
        assert_eq!(Name::of_file(&name.archive_file(false)), Some(name));
        assert_eq!(Name::of_file(&name.manifest_file()), Some(name));
        for other in ["", "parlant_backup_", "parlant_backup_20261123_2004055", "parlant_backup_20261323_200405"] {
            assert_eq!(other.parse::<Name>(), Err(NotAName), "{other}");
        }
        for other in ["parlant_backup_2026112_200405", "parlant_backup_20261123_200405.sql", "backup_20261123_200405"] {
            assert_eq!(other.parse::<Name>(), Err(NotAName), "{other}");
        }
    }
}
