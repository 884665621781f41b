//! The bridge's backups: run, list, verify, restore, prune. See `parlant-backup --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    parlant_backup::run(std::env::args_os())
}
