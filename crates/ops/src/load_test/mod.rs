//! A load test that is honest about itself.
//!
//! In the *open* model the clock sends: each request when it is due, whether or not earlier ones were answered, and
//! its latency counts from then. So a server that stalls for two seconds shows two seconds, for all who would have
//! come meanwhile. In the *closed* model a number of clients each wait for an answer before they ask again; it shows
//! what a server can do, and hides what it does to others, which its report says. Both report how late the generator
//! itself was, every error with its latency, and no percentile that the number of requests cannot support.
//!
//! ```no_run
//! use parlant_ops_core::load_test::{LoadOptions, Limits, Plan, Progress, Scenario, Target};
//! use std::time::Duration;
//!
//! # async fn run() -> Result<(), parlant_ops_core::load_test::Error> {
//! let scenarios = Scenario::built_in().into_iter().filter(|scenario| !scenario.token).collect();
//! let options =
//!     LoadOptions { rate: Some(100.0), duration: Some(Duration::from_secs(30)), ..LoadOptions::default() };
//! let plan = Plan {
//!     target: Target::resolve("http://127.0.0.1:8001", false).await?,
//!     token: None,
//!     loads: Plan::loads(scenarios, options, LoadOptions::default())?,
//!     keep_alive: true,
//!     timeout: Duration::from_secs(10),
//!     limits: Limits { max_p95: Some(Duration::from_millis(500)), ..Limits::default() },
//! };
//! let report = plan.run(&Default::default(), &Default::default()).await?;
//! assert!(report.met, "{:?}", report.thresholds);
//! # Ok(())
//! # }
//! ```
//!
//! # Libraries
//! The generator is our own, on hyper's single connections: goose and rlt wait for answers and count from the sending,
//! balter sends less when the server is slow, and p99gate (0.1, the only one that counts from the due time) holds back
//! what is due when too many are in flight, instead of counting it as unsent. Clients that pool connections repeat
//! requests unasked, and so hide resets.

mod client;
mod error;
mod failure;
mod file;
mod latencies;
mod limits;
mod load;
mod pace;
mod plan;
mod record;
mod report;
mod run;
mod scenario;
mod target;
mod token;

pub use error::Error;
pub use failure::Kind;
pub use file::ScenarioFile;
pub use latencies::Summary;
pub use limits::{Limits, Verdict};
pub use load::{Load, LoadOptions, Model};
pub use plan::{Plan, Progress};
pub use report::{ErrorReport, Generator, LoadReport, Report, ScenarioReport, Silence, StatusReport};
pub use scenario::Scenario;
pub use target::Target;
pub use token::{Dev, TOKEN, TokenSources, VARIABLES};
