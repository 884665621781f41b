//! Backups that are verified by restoring them.

mod config;
mod dump;
mod error;
mod files;
mod fingerprint;
mod lock;
mod manifest;
mod name;
mod progress;
mod retention;
mod run;
mod source;
mod store;
mod textfile;
mod tools;
mod upload;

pub use config::{Config, S3, VARIABLES};
pub use error::Error;
pub use fingerprint::{Difference, Fingerprints, Scope, TableFingerprint, differences, fingerprints};
pub use lock::Lock;
pub use manifest::{Archive, Database, Manifest, Options, Versions};
pub use name::{Name, NotAName};
pub use progress::{Progress, Reporter};
pub use retention::{Candidate, ClockJump, Decision, Reason, Rules, Standing, decide};
pub use run::{Made, Request, make};
pub use store::{Bucket, Store, StoredFile, Upload};
pub use textfile::{Numbers, write_textfile};
pub use tools::Tool;
