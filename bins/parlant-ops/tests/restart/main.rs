//! Restarts of the real server, by what restarts it in a deployment as far as that works without systemd as the first
//! process. `e2e/restart/run` brings the programs.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod activation;
mod command;
mod deployment;
mod load;
mod rotation;
mod service;
mod units;
