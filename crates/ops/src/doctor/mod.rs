//! Finds out what is wrong with a deployment, and says what to do about it. It changes nothing.
//!
//! It looks from outside, with the settings that the server has, asks the running server what it sees, and names the
//! difference. Everything is bounded in time; what does not depend on each other is looked at together.
//!
//! ```no_run
//! # async fn night() -> Result<(), Box<dyn std::error::Error>> {
//! use parlant_ops_core::doctor::{Config, diagnose};
//! use parlant_settings::Settings;
//!
//! let config = Config::from_settings(Settings::from_process())?;
//! let diagnosis = diagnose(&config).await;
//! println!("{}", diagnosis.text(100));
//! assert!(!diagnosis.is_broken());
//! # Ok(()) }
//! ```
//!
//! # One cause, one finding
//! A finding that another one explains is not told by itself: it stands in [`Finding::explains`] of that one. Which
//! explains which is said where the kinds are declared, in `kinds.rs`.
//!
//! # To extend
//! A kind of finding is a line in `kinds.rs` and one in `docs/reference/doctor.md`. Who finds it is the family that its
//! id begins with, a file here with a function that writes on a `Sheet`.

mod alerts;
mod backup;
mod clock;
mod config;
mod configuration;
mod database;
mod diagnosis;
mod engine;
mod finding;
mod host;
mod http;
mod kinds;
mod render;
mod schema;
mod selection;
mod server;
mod sheet;
mod shell;
mod sim;
mod token;

pub use config::Config;
pub use diagnosis::{Diagnosis, diagnose};
pub use finding::{Finding, Severity};
pub use kinds::{KINDS, Kind};
pub use selection::Selection;
pub use sheet::Skipped;
