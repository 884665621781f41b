use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use parlant_settings::FromSetting as _;

/// Backups of the Sim-Parlant Integration Bridge that are verified by restoring them.
#[derive(Debug, Parser)]
#[command(
    name = "parlant-backup",
    version = env!("PARLANT_VERSION"),
    after_help = "\
Examples:
  parlant-backup run                       back up, restore it on trial, compare, then delete what is old enough
  parlant-backup run --only-parlant        only the bridge's own tables of a database that it shares with Sim
  parlant-backup run --without-sessions    without the rows by which somebody is signed in to Sim
  DATABASE_URL_FILE=/run/secrets/backup parlant-backup run --json

Settings come from the environment and from .env, above all DATABASE_URL (a direct connection with a role that may
read everything) and BACKUP_DIR. docs/reference/backup.md has the rest.

Exit codes: 0 good, 1 failed and no backup made, 3 a backup is kept but its verification or its upload failed,
4 locked by another run, 64 bad usage, 78 bad configuration."
)]
pub(crate) struct Cli {
    /// Print one line of JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a backup, verify it by a trial restore, and delete what is old enough
    Run(RunArguments),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct RunArguments {
    /// Back up only the bridge's own tables (public.parlant_*)
    #[arg(long)]
    pub(crate) only_parlant: bool,
    /// Leave out the rows of Sim's session and verification tables: whoever is restored signs in again
    #[arg(long)]
    pub(crate) without_sessions: bool,
    /// Leave out the rows of this table, schema.table quoted as in SQL; may be given several times
    #[arg(long, value_name = "TABLE")]
    pub(crate) without_data: Vec<String>,
    /// Do not give what is restored to its owners
    #[arg(long)]
    pub(crate) no_owner: bool,
    /// Leave out GRANTs
    #[arg(long)]
    pub(crate) no_privileges: bool,
    /// Do not restore it on trial: it counts as unverified
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Delete nothing
    #[arg(long)]
    pub(crate) no_prune: bool,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = Duration::from_setting)]
    pub(crate) timeout: Duration,
}
