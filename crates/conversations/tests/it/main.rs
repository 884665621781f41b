//! The domain on a real PostgreSQL, as the least privileged role that the server runs as.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

mod agents;
mod chaos;
mod delivery;
mod engine_failures;
mod explain;
mod failures;
mod house;
mod live;
mod messages;
mod reaper;
mod replicas;
mod sessions;
mod settings;
mod stage;
mod tenancy;
mod usage;
