//! The crate as others use it.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod claims;
mod delivery;
mod inhibitions;
mod kill;
mod log;
mod machine;
mod model;
mod receiver;
mod rule_file;
mod runbooks;
mod service;
mod slack;
mod state;
mod webhook;
