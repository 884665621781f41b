//! Makes backups of real databases.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

mod damage;
mod fingerprint;
mod make;
mod prune;
mod restore;
mod world;
