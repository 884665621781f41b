//! The schema crate against a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

mod apply;
mod embedded;
mod give_way;
mod no_transaction;
mod plan;
mod roles;
mod status;
mod support;
