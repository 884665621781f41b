//! The bridge as its users see it: in memory, over PostgreSQL, against a false Sim and a false issuer.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod bridge;
#[cfg(all(feature = "http", feature = "postgres"))]
mod chaos;
#[cfg(feature = "postgres")]
mod database;
#[cfg(feature = "postgres")]
mod differential;
#[cfg(all(feature = "fixture", feature = "postgres"))]
mod fixture;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "jwt")]
mod jwks;
#[cfg(feature = "jwt")]
mod jwt;
mod memory;
mod outage;
#[cfg(feature = "postgres")]
mod revalidation;
mod revocation;
mod watch;
#[cfg(any(feature = "http", feature = "jwt"))]
mod web;
