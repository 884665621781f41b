//! Backups that are verified by restoring them.

mod config;
mod error;
mod files;
mod fingerprint;
mod manifest;
mod name;
mod retention;
mod store;
mod tools;

pub use config::{Config, S3, VARIABLES};
pub use error::Error;
pub use fingerprint::{Difference, Fingerprints, Scope, TableFingerprint, differences, fingerprints};
pub use manifest::{Archive, Database, Manifest, Options, Versions};
pub use name::{Name, NotAName};
pub use retention::{Candidate, ClockJump, Decision, Reason, Rules, Standing, decide};
pub use store::{Bucket, Store, StoredFile, Upload};
pub use tools::Tool;
