//! The domain on a real PostgreSQL, as the least privileged role that the server runs as.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

mod agents;
mod explain;
mod failures;
mod house;
mod messages;
mod reaper;
mod sessions;
mod settings;
mod tenancy;
mod usage;
