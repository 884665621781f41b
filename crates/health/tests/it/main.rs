//! The monitor with checks that behave as they are told, and the checks of real things.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod dependencies;
mod monitor;
mod scripted;
