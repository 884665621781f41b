//! The application over real sockets, real sessions of Sim's and a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod bad_input;
mod cors;
mod drain;
mod health;
mod house;
mod metrics;
mod numbers;
mod outage;
mod rate_limit;
mod requests;
mod routes;
mod tenancy;
