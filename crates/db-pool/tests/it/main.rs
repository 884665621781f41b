//! The pool against a real PostgreSQL: under load, through failures, with and without TLS.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod certificates;
mod configuration;
mod failover;
mod listen;
mod metrics;
mod outage;
mod pool;
mod postgres;
mod statements;
mod tls;
mod tls_server;
mod transactions;
