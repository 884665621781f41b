//! The bridge's server as a library: it assembles the crates of the house into one process. `main` only calls
//! [`run`]; tests run the same code.
//!
//! `configuration` reads every setting ([`VARIABLES`]); `serve` builds what they describe and runs it until a signal;
//! `dev` brings a private PostgreSQL and a demo user first.

mod alerts;
mod check_config;
mod cli;
mod configuration;
mod dev;
mod directory;
mod health;
mod reload;
mod serve;
mod supervisor;
mod workers;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use parlant_settings::{Problems, Settings};

pub use configuration::{Group, VARIABLES};

/// `EX_USAGE` of sysexits.h: the command line was wrong.
const EXIT_USAGE: u8 = 64;
/// `EX_CONFIG` of sysexits.h: the settings were wrong.
const EXIT_CONFIG: u8 = 78;

/// Runs the program with these arguments, the first being its name, and says how it should exit.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let settings = Settings::from_process();
    let outcome = match cli.command {
        cli::Command::CheckConfig => check_config::run(settings),
        cli::Command::Serve => serve::run(settings),
        cli::Command::Dev(arguments) => dev::run(settings, &arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let problems = error.downcast_ref::<Problems>();
            match problems {
                Some(problems) => eprintln_lines("The configuration has problems:", problems),
                None => eprintln_lines("parlant-server failed:", format_args!("{error:#}")),
            }
            if problems.is_some() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

#[expect(clippy::print_stderr, reason = "the person who started the program reads it there, whatever the log level")]
fn eprintln_lines(title: &str, lines: impl std::fmt::Display) {
    eprintln!("{title}\n{lines}");
}
