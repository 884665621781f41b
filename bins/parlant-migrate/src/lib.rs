//! `parlant-migrate` as a library: it parses the command line, calls `parlant_schema`, and turns the outcome into
//! text or JSON and an exit code. `main` only calls [`run`].
//!
//! Data goes to standard output; progress, warnings and errors go to standard error.

mod cli;
mod render;

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use parlant_db_pool::Config;
use parlant_schema::{Error, Migrations, State, Status};
use parlant_settings::{Problems, Settings, Variable};
use serde::Serialize;

use cli::{Cli, Command};

const SCRATCH_URL: Variable = Variable::new(
    "MIGRATE_SCRATCH_URL",
    "Where `parlant-migrate plan` makes its scratch database; unset = on the server of DATABASE_URL",
)
.secret();

/// The variables that this program reads beside those of the pool and of the log.
pub const VARIABLES: &[Variable] = &[SCRATCH_URL];

/// How the program ends; `docs/reference/migrate.md` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Good = 0,
    Error = 1,
    Pending = 2,
    Unsuitable = 3,
    Locked = 4,
    /// `EX_USAGE` of sysexits.h.
    Usage = 64,
}

impl From<State> for Exit {
    fn from(state: State) -> Self {
        match state {
            State::UpToDate => Self::Good,
            State::Pending => Self::Pending,
            State::Diverged | State::Newer => Self::Unsuitable,
        }
    }
}

/// Runs the program with these arguments, the first being its name, and says how it should exit.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = match Cli::try_parse_from(arguments) {
        Ok(cli) => start(&cli).unwrap_or_else(|problem| complain(&problem)),
        Err(answer) => {
            let _ = answer.print();
            if answer.use_stderr() { Exit::Usage } else { Exit::Good }
        }
    };
    ExitCode::from(exit as u8)
}

fn start(cli: &Cli) -> anyhow::Result<Exit> {
    let mut settings = Settings::from_process();
    let telemetry = parlant_telemetry::Config::from_settings(&mut settings);
    let mut config = Config::from_settings(&mut settings);
    let scratch = settings.secret(&SCRATCH_URL).map(|url| Config { url, ..config.clone() });
    settings.finish()?;
    // Another run names this one by it when it has to wait.
    "parlant-migrate".clone_into(&mut config.application_name);
    let _guard = parlant_telemetry::init(&telemetry)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(cli, &config, scratch.as_ref()))
}

async fn work(cli: &Cli, config: &Config, scratch: Option<&Config>) -> anyhow::Result<Exit> {
    let migrations = Migrations::embedded();
    match cli.command.clone() {
        Command::Status => {
            let status = migrations.status(&parlant_db_pool::connect(config).await?).await?;
            print(cli, &status, render::status)?;
            Ok(status.state.into())
        }
        Command::Verify => match migrations.verify(&parlant_db_pool::connect(config).await?).await {
            Ok(status) => {
                print(cli, &status, Status::summary)?;
                Ok(Exit::Good)
            }
            Err(Error::Unsuitable(status)) if cli.json => {
                print(cli, &*status, render::status)?;
                Ok(status.state.into())
            }
            Err(other) => Err(other.into()),
        },
        Command::Plan => {
            let plan = migrations.plan(config, scratch, interrupted()?).await?;
            print(cli, &plan, render::plan)?;
            Ok(plan.status.state.into())
        }
        Command::Apply(arguments) => {
            let report = migrations.apply(config, &arguments.into()).await?;
            print(cli, &report, render::report)?;
            Ok(Exit::Good)
        }
    }
}

fn print<T: Serialize>(cli: &Cli, data: &T, text: impl Fn(&T) -> String) -> anyhow::Result<()> {
    let text = if cli.json { serde_json::to_string(data)? } else { text(data) };
    writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
    Ok(())
}

/// Resolves when somebody wants the program to end, so that `plan` can drop its scratch database first. A signal
/// that comes before anybody waits counts as well.
fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Tells the person who started the program, and decides what the script that did is told.
fn complain(problem: &anyhow::Error) -> Exit {
    let exit = match problem.downcast_ref::<Error>() {
        Some(error) if error.is_locked() => Exit::Locked,
        Some(error) => error.state().map_or(Exit::Error, Exit::from),
        None => Exit::Error,
    };
    match problem.downcast_ref::<Problems>() {
        Some(problems) => say("The configuration has problems:", problems),
        None => say("parlant-migrate:", format_args!("{problem:#}")),
    }
    exit
}

#[expect(clippy::print_stderr, reason = "the person who started the program reads it there, whatever the log level")]
fn say(title: &str, lines: impl fmt::Display) {
    eprintln!("{title}\n{lines}");
}
