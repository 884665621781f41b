//! The application over real sockets, real sessions of Sim's and a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod bad_input;
mod chat;
mod cors;
mod drain;
mod events;
mod health;
mod house;
mod metrics;
mod numbers;
mod openapi;
mod outage;
mod rate_limit;
mod replicas;
mod requests;
mod routes;
mod slow;
mod socket;
mod stream;
mod tenancy;
