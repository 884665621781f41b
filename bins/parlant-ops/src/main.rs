//! Diagnosis, restart, load test and alert rules of the bridge. See `parlant-ops --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    parlant_ops::run(std::env::args_os())
}
