//! The bridge as its users see it: in memory, over PostgreSQL, against a false Sim and a false issuer.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

#[cfg(feature = "testing")]
mod acceptance;
#[cfg(feature = "jwt")]
mod attacks;
mod bridge;
#[cfg(all(feature = "http", feature = "postgres"))]
mod chaos;
#[cfg(feature = "postgres")]
mod database;
#[cfg(feature = "postgres")]
mod differential;
#[cfg(all(feature = "testing", feature = "actix", feature = "tower"))]
mod examples;
mod explain;
#[cfg(any(feature = "actix", feature = "tower"))]
mod faces;
#[cfg(all(feature = "fixture", feature = "postgres"))]
mod fixture;
#[cfg(all(feature = "jwt", feature = "testing"))]
mod fuzz;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "jwt")]
mod jwks;
#[cfg(feature = "jwt")]
mod jwt;
mod memory;
mod outage;
mod package;
#[cfg(feature = "postgres")]
mod revalidation;
mod revocation;
mod watch;
#[cfg(any(feature = "http", feature = "jwt"))]
mod web;
