//! The bridge's server. See `parlant-server --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    parlant_server::run(std::env::args_os())
}
