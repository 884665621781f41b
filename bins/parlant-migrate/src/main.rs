//! The bridge's migrations. See `parlant-migrate --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    parlant_migrate::run(std::env::args_os())
}
