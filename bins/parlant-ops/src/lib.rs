//! `parlant-ops` as a library: it parses the command line and calls what does the work. `main` only calls [`run`].
//!
//! Data goes to standard output, everything else to standard error. A command is a variant of `cli::Command` and a
//! file with its name.

mod alerts;
mod cli;
mod doctor;
mod load_test;
mod restart;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use parlant_settings::Problems;

use cli::{Cli, Command};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Good = 0,
    Failed = 1,
    /// Of `doctor`: it works, and somebody should look.
    Warnings = 2,
    /// Of `restart`: nothing was done.
    Refused = 3,
    Locked = 4,
    /// `EX_USAGE` of sysexits.h.
    Usage = 64,
    /// `EX_SOFTWARE` of sysexits.h: `doctor` could not look.
    CouldNotRun = 70,
    /// `EX_CONFIG` of sysexits.h.
    Configuration = 78,
    /// A load test's thresholds are not met.
    NotMet = 99,
}

/// Runs the program with these arguments, the first being its name, and says how it should exit.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = match Cli::try_parse_from(arguments) {
        Ok(cli) => start(&cli.command).unwrap_or_else(|problem| complain(&problem)),
        Err(answer) => {
            let _ = answer.print();
            if answer.use_stderr() { Exit::Usage } else { Exit::Good }
        }
    };
    ExitCode::from(exit as u8)
}

fn start(command: &Command) -> anyhow::Result<Exit> {
    match command {
        Command::Alerts(command) => alerts::run(command),
        Command::Doctor(arguments) => Ok(doctor::doctor(arguments).unwrap_or_else(|problem| {
            complain(&problem);
            Exit::CouldNotRun
        })),
        Command::Restart(arguments) => restart::run(arguments),
        Command::LoadTest(arguments) => load_test::run(arguments),
    }
}

fn complain(problem: &anyhow::Error) -> Exit {
    if problem.is::<Problems>() {
        say(format_args!("the configuration has problems:\n{problem}"));
        return Exit::Configuration;
    }
    say(format_args!("{problem:#}"));
    Exit::Failed
}

#[expect(clippy::print_stderr, reason = "the person who started the program reads it there")]
fn say(text: impl std::fmt::Display) {
    eprintln!("parlant-ops: {text}");
}
