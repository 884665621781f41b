//! Structured logs: one line an event, as JSON or as text, carrying the context of the request that it
//! belongs to.
//!
//! The context is the fields of the spans that the event happens in: whoever serves a request opens one span
//! with `request_id`, `method` and the like, and every line written meanwhile, by whatever crate, has them.
//!
//! ```
//! use parlant_telemetry::{Format, Lines};
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let subscriber = tracing_subscriber::registry().with(Lines::new(Format::Json, std::io::stderr));
//! tracing::subscriber::with_default(subscriber, || {
//!     let span = tracing::info_span!("request", request_id = "r-1", user_id = tracing::field::Empty);
//!     let _entered = span.enter();
//!     span.record("user_id", "u-1");
//!     tracing::info!(rows = 3, "Agents listed"); // {"timestamp":…,"request_id":"r-1","user_id":"u-1","rows":3}
//! });
//! ```
//!
//! A program calls [`init`] once, as early as it can, and keeps the [`Guard`].

mod config;
mod fields;
mod lines;
mod panics;

pub use config::{Config, Format, VARIABLES};
pub use lines::Lines;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Writes what is still waiting when it is dropped; keep it until the program ends.
#[must_use]
#[derive(Debug)]
pub struct Guard(#[expect(dead_code, reason = "held for its Drop")] tracing_appender::non_blocking::WorkerGuard);

/// Sends events, the `log` records of libraries and panics to standard error as `config` says.
///
/// Lines are written by a thread of their own, so that a slow terminal or pipe does not hold up a request.
///
/// # Errors
/// When the process already has a subscriber.
pub fn init(config: &Config) -> Result<Guard, tracing_subscriber::util::TryInitError> {
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    tracing_subscriber::registry().with(config.filter.clone()).with(Lines::new(config.format, writer)).try_init()?;
    panics::log_panics();
    Ok(Guard(guard))
}
