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
  parlant-backup list                      what there is, and what is known of it
  parlant-backup verify --s3               restore the newest one of the bucket on trial
  parlant-backup restore newest --database sim_restored
  parlant-backup restore newest --database sim --swap
  parlant-backup prune --dry-run           what would go, and why the rest stays
  DATABASE_URL_FILE=/run/secrets/backup parlant-backup run --json

Settings come from the environment and from .env, above all DATABASE_URL (a direct connection with a role that may
read everything) and BACKUP_DIR. docs/reference/backup.md has the rest.

Exit codes: 0 good, 1 failed and nothing changed, 3 a backup is there but its verification or its upload failed,
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
    /// Show the backups, the newest first, and what is known of each
    List(PlaceArguments),
    /// Restore a backup on trial and compare every table with its manifest; the evidence is written beside it
    Verify(VerifyArguments),
    /// Restore a backup into a database of the configured server
    Restore(RestoreArguments),
    /// Delete what the retention rules do not keep
    Prune(PruneArguments),
}

#[derive(Debug, Default, Args)]
pub(crate) struct PlaceArguments {
    /// Only in the directory
    #[arg(long, conflicts_with = "s3")]
    pub(crate) local: bool,
    /// Only in the bucket
    #[arg(long)]
    pub(crate) s3: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// `newest`, a backup's name, or the path of one of its files
    #[arg(default_value = "newest")]
    pub(crate) backup: String,
    /// Take it from the bucket
    #[arg(long)]
    pub(crate) s3: bool,
    /// Only read, decrypt and decode every byte; restore nothing
    #[arg(long)]
    pub(crate) read_only: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct RestoreArguments {
    /// `newest`, a backup's name, or the path of one of its files
    pub(crate) backup: String,
    /// The name that the restored database gets
    #[arg(long, value_name = "NAME")]
    pub(crate) database: String,
    /// Take it from the bucket
    #[arg(long)]
    pub(crate) s3: bool,
    /// When the database exists: keep it under a dated name
    #[arg(long, conflicts_with = "replace")]
    pub(crate) swap: bool,
    /// When the database exists: drop it once the backup is restored and compared; its name once more
    #[arg(long, value_name = "NAME")]
    pub(crate) replace: Option<String>,
    /// End the connections of those who use the database
    #[arg(long)]
    pub(crate) force: bool,
    /// Everything belongs to the connecting role
    #[arg(long)]
    pub(crate) no_owner: bool,
    /// Restore no GRANT
    #[arg(long)]
    pub(crate) no_privileges: bool,
    /// Indexes and constraints that are made at once [default: this machine's cores]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// Only tell what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
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
