//! The server as its users see it, and the rules that hold for the whole workspace.

#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod canary;
mod cli;
mod dev;
mod engine;
mod health;
mod house;
mod load_test;
mod log;
mod metrics;
mod program;
mod reference;
mod serve;
mod supervisor;
