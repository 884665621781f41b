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
//! let subscriber = tracing_subscriber::registry().with(Lines::new(Format::Json, |line| print!("{line}")));
//! tracing::subscriber::with_default(subscriber, || {
//!     let span = tracing::info_span!("request", request_id = "r-1", user_id = tracing::field::Empty);
//!     let _entered = span.enter();
//!     span.record("user_id", "u-1");
//!     tracing::info!(rows = 3, "Agents listed"); // {"timestamp":…,"request_id":"r-1","user_id":"u-1","rows":3}
//! });
//! ```
//!
//! A program calls [`init`] once, as early as it can, and keeps the [`Guard`]; one with metrics installs their recorder
//! before. `docs/LOGGING.md` says what the lines mean and how they are looked after.
//!
//! # To extend
//! A fact about an event is a field of it, a fact about everything that happens within a request a field of its span;
//! neither needs a change here. Another place for lines is another [`Lines::and`] in [`init`].

mod config;
mod error;
mod escape;
mod fields;
mod lines;
pub mod metrics;
mod output;
mod panics;

pub use config::{Config, Format, VARIABLES};
pub use error::Error;
pub use lines::Lines;

use output::{Output, Sink};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Writes what is still waiting when it is dropped; keep it until the program ends.
#[must_use]
#[derive(Debug)]
pub struct Guard(Handle);

/// Changes the log while the program runs. Clones are handles of the same log.
#[derive(Clone)]
pub struct Handle {
    filter: reload::Handle<Targets, Registry>,
    outputs: Vec<Output>,
}

/// Sends events, the `log` records of libraries and panics to standard error and the file as `config` says.
///
/// Each is written by a thread of its own, so that a slow terminal, a full disk or one that hangs does not hold up a
/// request.
///
/// # Errors
/// When the file cannot be opened, or the process already has a subscriber.
pub fn init(config: &Config) -> Result<Guard, Error> {
    let dropped = metrics::lines_dropped();
    let stderr = Output::start("stderr", Sink::stderr(), dropped.clone())?;
    let mut outputs = vec![stderr.clone()];
    let mut lines = Lines::new(config.format, move |line| stderr.line(line));
    if let Some(path) = &config.file {
        let sink = Sink::file(path).map_err(|source| Error::File { path: path.clone(), source })?;
        let file = Output::start("LOG_FILE", sink, dropped)?;
        outputs.push(file.clone());
        lines = lines.and(Format::Json, move |line| file.line(line));
    }
    let (filter, handle) = reload::Layer::new(config.filter.clone());
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    panics::log_panics();
    Ok(Guard(Handle { filter: handle, outputs }))
}

impl Guard {
    /// What changes the log.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.0.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.outputs.iter().for_each(Output::close);
    }
}

impl Handle {
    /// Writes to a new file of the same name, once everything logged until now is in the old one.
    pub fn reopen(&self) {
        self.outputs.iter().for_each(Output::reopen);
    }

    /// Changes which events are written.
    pub fn set_filter(&self, filter: &Targets) {
        // Fails only when the log itself is gone.
        if self.filter.reload(filter.clone()).is_ok() {
            // The `log` records of libraries are held back by a level of their own.
            let most = LevelFilter::current().to_string().parse();
            log::set_max_level(most.unwrap_or(log::LevelFilter::Trace));
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
