//! Checks of what the bridge depends on, and the monitor that runs them.
//!
//! A [`Monitor`] runs each [`Check`] in the background, all at the same time and each within a time limit of its own:
//! one that hangs or panics is unhealthy, and neither slows nor breaks the others. [`Monitor::report`] tells the last
//! result without asking anything; [`Monitor::fresh`] asks again, once for all who want to know at the same time.
//!
//! | check | type | critical |
//! | --- | --- | --- |
//! | `database` | [`Database`] | yes |
//! | `sim_api` | [`SimApi`] | where sessions are looked up there |
//! | `memory`, `disk_space` | [`Memory`], [`DiskSpace`] | no |
//! | `auth_cache` | [`AuthCache`] | no |
//! | `migrations` | [`Migrations`] | no |
//! | `engine` | [`Engine`] | no |
//!
//! The whole is unhealthy when a critical check is, else degraded when any check is not healthy.
//!
//! A status changes when two results in a row say so, and at once when it is the first. Nobody has to wait an interval
//! for the second: a result that contradicts what is believed is checked half a second later, and as often is what is
//! critical and unhealthy.
//!
//! # To extend
//! Whatever else a service depends on is a [`Check`] that it hands to its monitor, in any crate:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use parlant_health::{Check, Config, Monitor, Outcome, Running, Status};
//!
//! struct Printer {
//!     address: std::net::SocketAddr,
//! }
//!
//! impl Check for Printer {
//!     fn name(&self) -> &'static str {
//!         "printer"
//!     }
//!
//!     fn timeout(&self) -> Duration {
//!         Duration::from_secs(2)
//!     }
//!
//!     fn run(&self) -> Running<'_> {
//!         Box::pin(async {
//!             match tokio::net::TcpStream::connect(self.address).await {
//!                 Ok(_) => Outcome::healthy(),
//!                 // Fixed words for everybody; the cause goes into the log, once.
//!                 Err(error) => Outcome::unhealthy("the printer cannot be reached").because(error),
//!             }
//!         })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let exporter = parlant_metrics::install()?;
//! let printer = Arc::new(Printer { address: ([127, 0, 0, 1], 9).into() });
//! let monitor = Monitor::new(Config::default(), "1.2.3", exporter, vec![printer]);
//! tokio::spawn(monitor.clone().run());
//! let report = monitor.fresh().await;
//! // Nobody is lost without it.
//! assert_eq!((report.checks["printer"].status, report.status), (Status::Unhealthy, Status::Degraded));
//! # Ok(()) }
//! ```
//!
//! A check of every deployment belongs here, in a file of its own under `checks/`. What blocks a thread runs in
//! [`spawn_blocking`](tokio::task::spawn_blocking), as that of the disks does, since a time limit cannot end it.

mod belief;
mod cgroup;
mod check;
mod checks;
mod config;
mod error;
pub mod metrics;
mod monitor;
mod numbers;
mod report;
mod slot;
mod window;

pub use check::{Check, Outcome, Running, Status};
pub use checks::{AuthCache, Database, DiskSpace, Engine, Memory, Migrations, SimApi};
pub use config::{Audience, Config, SIM_HEALTH_PATH, VARIABLES};
pub use error::Error;
pub use monitor::Monitor;
pub use numbers::Figures;
pub use report::{CheckReport, Findings, Report, SERVICE};
