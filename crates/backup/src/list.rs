//! What backups there are, and what is known of each. Archives are not read.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::{Config, Error, Evidence, Manifest, Name, Reason, Rules, Standing, Store, StoredFile, decide};

/// Small files of a bucket that are read at once.
const READ_AT_ONCE: usize = 8;

/// How long something without a manifest may be the beginning of a backup that another machine makes.
const UNFINISHED: TimeDelta = TimeDelta::hours(24);

/// What is known of a backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It was restored and compared, and has the same manifest since.
    Verified {
        /// When.
        verified_at: DateTime<Utc>,
    },
    /// It is whole as far as is known.
    Unverified,
    /// It was examined, and is damaged.
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// It has no manifest, or no archive of the right size: it is no backup.
    Incomplete {
        /// What is wrong.
        reason: String,
    },
}

/// A backup in a store, or what is left of one.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// What is known of it.
    #[serde(flatten)]
    pub state: State,
    /// All its files together.
    pub size_bytes: u64,
    /// What is in it, when that can be read.
    #[serde(skip)]
    pub manifest: Option<Manifest>,
    #[serde(skip)]
    files: Vec<StoredFile>,
}

/// What becomes of a backup, and why it stays.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Pruned {
    /// The backup.
    pub name: Name,
    /// Why it stays; none: it goes.
    pub kept: Option<Reason>,
    /// How much it takes.
    pub size_bytes: u64,
}

impl Listed {
    /// How much it is worth.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.state {
            State::Verified { .. } => Standing::Verified,
            State::Unverified => Standing::Unverified,
            State::Damaged { .. } | State::Incomplete { .. } => Standing::Unusable,
        }
    }
}

/// Every backup in `store`, the newest first.
pub async fn list(store: &Store) -> Result<Vec<Listed>, Error> {
    let mut by_name: BTreeMap<Name, Vec<StoredFile>> = BTreeMap::new();
    for file in store.list().await? {
        if let Some(name) = Name::of_file(&file.name) {
            by_name.entry(name).or_default().push(file);
        }
    }
    let backups = by_name.into_iter().rev().map(|(name, files)| examine(store, name, files));
    futures_util::stream::iter(backups).buffered(READ_AT_ONCE).try_collect().await
}

async fn examine(store: &Store, name: Name, files: Vec<StoredFile>) -> Result<Listed, Error> {
    let (state, manifest) = match store.read(&name.manifest_file()).await? {
        None => (State::Incomplete { reason: "it has no manifest".to_owned() }, None),
        Some(bytes) => match Manifest::parse(name, &bytes) {
            Err(error) => (State::Incomplete { reason: error.to_string() }, None),
            Ok(manifest) => (judge(store, &manifest, &bytes, &files).await?, Some(manifest)),
        },
    };
    let size_bytes = files.iter().map(|file| file.size).sum();
    Ok(Listed { name, created_at: name.time(), state, size_bytes, manifest, files })
}

async fn judge(store: &Store, manifest: &Manifest, bytes: &[u8], files: &[StoredFile]) -> Result<State, Error> {
    let archive = &manifest.archive;
    let wrong = match files.iter().find(|file| file.name == archive.file) {
        None => Some("its archive is missing".to_owned()),
        Some(file) if file.size != archive.size_bytes => {
            Some(format!("its archive has {} bytes instead of {}", file.size, archive.size_bytes))
        }
        Some(_) => None,
    };
    if let Some(reason) = wrong {
        return Ok(State::Incomplete { reason });
    }
    for file in Evidence::files(manifest.name) {
        if !files.iter().any(|found| found.name == file) {
            continue;
        }
        let evidence = store.read(&file).await?.unwrap_or_default();
        // Evidence that cannot be read, or is about another manifest, is none.
        match serde_json::from_slice::<Evidence>(&evidence) {
            Ok(evidence) if !evidence.is_about(bytes) => {}
            Ok(Evidence { damage: Some(damage), .. }) => return Ok(State::Damaged { reason: damage.to_string() }),
            Ok(evidence) => return Ok(State::Verified { verified_at: evidence.verified_at }),
            Err(_) => {}
        }
    }
    Ok(State::Unverified)
}

/// Deletes what `rules` do not keep, and tells of each backup what became of it, the newest first. The manifest goes
/// first, so that nothing half deleted looks whole. With `dry_run` nothing goes.
///
/// What has no manifest is left alone for a day: another machine may be making it.
///
/// # Errors
/// [`Error::Clock`] when ages mean nothing. The first of the others, after trying to delete everything.
pub async fn prune(store: &Store, rules: &Rules, now: DateTime<Utc>, dry_run: bool) -> Result<Vec<Pruned>, Error> {
    let mut backups = list(store).await?;
    backups.retain(|backup| backup.manifest.is_some() || now - backup.name.time() > UNFINISHED);
    let candidate = |backup: &Listed| crate::Candidate { time: backup.name.time(), standing: backup.standing() };
    let candidates: Vec<_> = backups.iter().map(candidate).collect();
    let decisions = decide(&candidates, rules, now)?;
    let mut outcome = Ok(());
    let mut pruned = Vec::new();
    for (backup, kept) in backups.iter().zip(decisions) {
        if kept.is_none() && !dry_run {
            outcome = outcome.and(delete(store, backup).await);
        }
        pruned.push(Pruned { name: backup.name, kept, size_bytes: backup.size_bytes });
    }
    outcome.map(|()| pruned)
}

async fn delete(store: &Store, backup: &Listed) -> Result<(), Error> {
    let manifest = backup.name.manifest_file();
    store.delete(&manifest).await?;
    for file in backup.files.iter().filter(|file| file.name != manifest) {
        store.delete(&file.name).await?;
    }
    Ok(())
}

/// Finds what somebody calls a backup: `newest`, a name, or the path of one of its files. The first two are looked for
/// in the directory of `config`, or in its bucket.
///
/// The newest is the newest with a manifest; when it shall be `usable`, also one that is not known to be damaged.
///
/// # Errors
/// [`Error::Refused`] when there is no such thing.
pub async fn find(config: &Config, in_bucket: bool, called: &str, usable: bool) -> Result<(Store, Name), Error> {
    let path = Path::new(called);
    if let (Some(dir), Some(file)) = (path.parent().filter(|dir| !dir.as_os_str().is_empty()), path.file_name()) {
        let name = file.to_str().and_then(Name::of_file);
        let name = name.ok_or_else(|| Error::Refused(format!("{called} is not called like a file of a backup")))?;
        return Ok((Store::Dir(dir.to_owned()), name));
    }
    let store = match (&config.bucket, in_bucket) {
        (_, false) => Store::Dir(config.dir.clone()),
        (Some(bucket), true) => Store::Bucket(bucket.clone()),
        (None, true) => return Err(Error::Refused("there is no bucket: set S3_BUCKET".to_owned())),
    };
    if called != "newest" {
        let name = Name::of_file(called);
        let name =
            name.ok_or_else(|| Error::Refused(format!("{called} is neither `newest` nor a backup's name or path")))?;
        return Ok((store, name));
    }
    let wanted = |backup: &Listed| backup.manifest.is_some() && (!usable || backup.standing() > Standing::Unusable);
    let newest = list(&store).await?.into_iter().find(wanted);
    let newest = newest.ok_or_else(|| Error::Refused(format!("{store} has no backup")))?;
    Ok((store, newest.name))
}
