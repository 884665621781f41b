//! `parlant-backup` as a library: it parses the command line, calls `parlant_backup_core`, and turns the outcome into
//! text or JSON and an exit code. `main` only calls [`run`].
//!
//! Data goes to standard output; progress, warnings and errors go to standard error.

mod alert;
mod cli;
mod examine;
mod make;
mod progress;
mod render;
mod signals;

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use parlant_backup_core::{Config, Error, Reporter, Store};
use parlant_settings::{Problems, Settings};
use serde::Serialize;

use cli::{Cli, Command, PlaceArguments};
use progress::Bar;

/// How the program ends; `docs/reference/backup.md` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Good = 0,
    Failed = 1,
    /// There is a backup, but its verification or its upload failed.
    Doubtful = 3,
    Locked = 4,
    /// `EX_USAGE` of sysexits.h.
    Usage = 64,
    /// `EX_CONFIG` of sysexits.h.
    Configuration = 78,
}

impl From<&anyhow::Error> for Exit {
    fn from(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<Error>() {
            Some(Error::Locked(_)) => Self::Locked,
            Some(Error::Damaged { .. } | Error::Manifest { .. }) => Self::Doubtful,
            _ if error.is::<Problems>() => Self::Configuration,
            _ => Self::Failed,
        }
    }
}

/// Runs the program with these arguments, the first being its name, and says how it should exit.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = match Cli::try_parse_from(arguments) {
        Ok(cli) => start(&cli).unwrap_or_else(|error| complain(&cli, &error)),
        Err(answer) => {
            let _ = answer.print();
            if answer.use_stderr() { Exit::Usage } else { Exit::Good }
        }
    };
    ExitCode::from(exit as u8)
}

/// What every command works with.
struct Context<'a> {
    cli: &'a Cli,
    config: Config,
    /// The database of `DATABASE_URL`.
    database: parlant_db_pool::Config,
    alerting: parlant_alerting::Config,
    progress: Reporter,
    bar: Bar,
}

fn start(cli: &Cli) -> anyhow::Result<Exit> {
    let mut settings = Settings::from_process();
    let telemetry = parlant_telemetry::Config::from_settings(&mut settings);
    let mut config = Config::from_settings(&mut settings);
    env!("PARLANT_VERSION").clone_into(&mut config.program_version);
    let mut database = match cli.command {
        Command::Run(_) | Command::Restore(_) => parlant_db_pool::Config::from_settings(&mut settings),
        // The others ask no database.
        Command::List(_) | Command::Verify(_) | Command::Prune(_) => parlant_db_pool::Config::new(""),
    };
    // Another run names this one by it.
    "parlant-backup".clone_into(&mut database.application_name);
    let alerting = parlant_alerting::Config::from_settings(&mut settings);
    settings.finish()?;
    let _guard = parlant_telemetry::init(&telemetry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let progress = Reporter::default();
        let context = Context { cli, config, database, alerting, bar: Bar::start(&progress), progress };
        match &cli.command {
            Command::Run(arguments) => Box::pin(make::run(&context, arguments)).await,
            Command::List(arguments) => examine::list(&context, arguments).await,
            Command::Verify(arguments) => examine::verify(&context, arguments).await,
            Command::Restore(arguments) => Box::pin(examine::restore(&context, arguments)).await,
            Command::Prune(arguments) => examine::prune(&context, arguments).await,
        }
    })
}

impl Context<'_> {
    /// The directory, and the bucket if there is one; or only the one that is asked for.
    fn stores(&self, only: &PlaceArguments) -> anyhow::Result<Vec<Store>> {
        let Config { dir, bucket, .. } = &self.config;
        anyhow::ensure!(bucket.is_some() || !only.s3, "there is no bucket: set S3_BUCKET");
        let dir = (!only.s3).then(|| Store::Dir(dir.clone()));
        let bucket = bucket.clone().filter(|_| !only.local).map(Store::Bucket);
        Ok(dir.into_iter().chain(bucket).collect())
    }

    /// Data, for a person or for a program.
    fn print<T: Serialize>(&self, data: &T, text: impl Fn(&T) -> String) -> anyhow::Result<()> {
        let text = if self.cli.json { serde_json::to_string(data)? } else { text(data) };
        // Both may be on one terminal.
        self.bar.clear();
        writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
        Ok(())
    }
}

/// An error and its causes, in one line.
fn with_causes(error: Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// Tells the person or the program that started this one, and decides how to exit.
fn complain(cli: &Cli, error: &anyhow::Error) -> Exit {
    let text = format!("{error:#}");
    if cli.json {
        let _ = writeln!(std::io::stdout().lock(), "{}", serde_json::json!({ "error": text }));
    }
    match error.downcast_ref::<Problems>() {
        Some(problems) => say("The configuration has problems:", problems),
        None => say("parlant-backup:", text),
    }
    Exit::from(error)
}

#[expect(clippy::print_stderr, reason = "the person who started the program reads it there, whatever the log level")]
fn say(title: &str, lines: impl fmt::Display) {
    eprintln!("{title}\n{lines}");
}
