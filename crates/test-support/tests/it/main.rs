//! The helpers that other crates' tests believe in.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod chaos;
mod databases;
mod sim;
