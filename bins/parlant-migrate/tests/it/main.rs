//! The real program against a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

mod at_once;
mod commands;
mod program;
