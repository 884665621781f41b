//! The crate as others use it.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod inhibitions;
mod machine;
mod rule_file;
mod runbooks;
mod slack;
