//! Runs the program as an operator or a timer does.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

mod commands;
mod place;
mod run;
mod run_killed;
mod trial_killed;
