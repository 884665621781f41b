//! Backups that are verified by restoring them.
//!
//! [`make()`] dumps a database and fingerprints its tables in one snapshot; [`verify()`] restores the dump elsewhere
//! and compares; [`restore()`] does so for good; [`list()`], [`find()`] and [`prune()`] look after what there is, in a
//! directory or in a bucket ([`Store`]).
//!
//! ```no_run
//! # async fn night() -> Result<(), Box<dyn std::error::Error>> {
//! use std::future::pending;
//! use parlant_backup_core::{Config, Lock, Reporter, Request, Store, make, trial_server, verify};
//!
//! let config = Config::new("/var/backups/parlant");
//! let database = parlant_db_pool::Config::new("postgres://parlant_backup:secret@db.internal/sim");
//! let (lock, progress) = (Lock::take(&config.dir)?, Reporter::default());
//! let made = make(&config, &database, &Request::default(), &lock, &progress, pending()).await?;
//!
//! let server = trial_server(&config).await?;
//! let store = Store::Dir(config.dir.clone());
//! verify(&config, &store, made.manifest.name, Some(&server), &progress, pending()).await?;
//! # Ok(()) }
//! ```
//!
//! # What makes a file a backup
//! The manifest, which is written last: versions, the size and SHA-256 of the archive, and what each table held. Until
//! then everything has a temporary name, and the next run, which has the lock, clears it away.
//!
//! # Why `pg_dump --format=custom --compress=0` into zstd
//! On 1 GB of `parlant_event` with two cores and PostgreSQL 15:
//!
//! | way | seconds | MB kept | MB on disk at the peak |
//! | --- | --- | --- | --- |
//! | custom, own zlib (level 1) | 9.6 | 304 | 304 |
//! | directory, 2 jobs, own zlib (level 1) | 9.7 | 290 | 290 |
//! | directory, 2 jobs, uncompressed | 4.9 | 996 | 996 |
//! | **custom, uncompressed, into zstd -3** | **4.9** | **251** | **251** |
//!
//! One large table gains nothing from jobs, a directory cannot be streamed to a bucket or through encryption, and zstd
//! takes less than the server's COPY, which is what bounds a dump. `pg_restore` can pick from the custom format and
//! build indexes in parallel. Fingerprints of the same tables take 1.5 s on a third connection meanwhile.
//!
//! `benches/backup` times the usual way beside it, a plain dump and then gzip. On a database of 977 MB, whose text gzip
//! shrinks to 45 %, that takes 39.0 s and keeps 418 MB, with 919 MB more on disk while it compresses; a dump with
//! fingerprints takes 10.0 s and keeps 334 MB, with nothing beside it.
//!
//! Encryption is the program `age`, whose files anybody can decrypt without this crate; the crate of that name would
//! bring 81 others.
//!
//! # How to extend
//! A new place for backups is a variant of [`Store`]. A new field of the manifest is an `Option` with
//! `#[serde(default)]`; one that changes the meaning of others raises [`Manifest::FORMAT_VERSION`].

mod config;
mod damage;
mod dump;
mod error;
mod evidence;
mod files;
mod fingerprint;
mod list;
mod load;
mod lock;
mod manifest;
mod metrics;
mod name;
mod progress;
mod read;
mod restore;
mod retention;
mod run;
mod scratch;
mod source;
mod store;
mod tools;
mod upload;
mod verify;

pub use config::{Config, VARIABLES};
pub use damage::Damage;
pub use error::Error;
pub use evidence::{Evidence, Level, Witnesses};
pub use fingerprint::{Difference, Fingerprints, Scope, TableFingerprint, differences, fingerprints};
pub use list::{Listed, Pruned, State, find, list, prune};
pub use lock::Lock;
pub use manifest::{Archive, Database, Manifest, Options, Versions};
pub use metrics::{Numbers, write_textfile};
pub use name::{Name, NotAName};
pub use progress::{Progress, Reporter};
pub use restore::{Existing, RestoreRequest, Restored, restore};
pub use retention::{Candidate, ClockJump, Reason, Rules, Standing, decide};
pub use run::{Made, Request, make};
pub use scratch::Server;
pub use store::{Bucket, Store, StoredFile};
pub use verify::{trial_server, verify};
