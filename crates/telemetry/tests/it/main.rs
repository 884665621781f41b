//! Whatever is logged, and whatever happens to the log meanwhile.

#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod anything;
mod process;
