use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use parlant_schema::ApplyOptions;
use parlant_settings::FromSetting as _;

/// The migrations of the Sim-Parlant Integration Bridge.
#[derive(Debug, Parser)]
#[command(
    name = "parlant-migrate",
    version = env!("PARLANT_VERSION"),
    after_help = "\
Examples:
  parlant-migrate status                 which tables exist, what is applied, what is pending
  parlant-migrate plan                   try the pending migrations out and see the locks they take
  parlant-migrate apply --lock-wait 5m   apply them, waiting up to 5 minutes for another run
  parlant-migrate verify --json          a check for scripts: exit code 0 means up to date
  DATABASE_URL_FILE=/run/secrets/migrator parlant-migrate apply

Settings come from the environment and from .env, above all DATABASE_URL (a direct connection as parlant_migrator,
not through a transaction-pooling PgBouncer) and, for plan, MIGRATE_SCRATCH_URL.
docs/reference/migrate.md has the rest.

Exit codes: 0 up to date or applied, 1 error or bad configuration, 2 pending, 3 diverged or newer than this program,
4 locked by another session, 64 bad usage."
)]
pub(crate) struct Cli {
    /// Print one line of JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Show which tables exist and which migrations are applied or pending; changes nothing
    Status,
    /// Try the pending migrations in a scratch database and show the locks they take
    Plan,
    /// Apply the pending migrations
    Apply(ApplyArguments),
    /// Fail unless the schema is exactly the one this program knows; changes nothing
    Verify,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArguments {
    /// Longest wait for another run to end
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = Duration::from_setting)]
    lock_wait: Duration,
    /// Longest that one try of a migration waits for its tables; others queue behind it meanwhile
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = Duration::from_setting)]
    lock_timeout: Duration,
    /// Longest that a migration is tried again while its tables are in use
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = Duration::from_setting)]
    patience: Duration,
}

impl From<ApplyArguments> for ApplyOptions {
    fn from(arguments: ApplyArguments) -> Self {
        let ApplyArguments { lock_wait, lock_timeout, patience } = arguments;
        Self { lock_wait, lock_timeout, patience }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_on_the_command_line_are_the_library_s() {
        let cli = Cli::parse_from(["parlant-migrate", "apply"]);
        let Command::Apply(arguments) = cli.command else { panic!("{cli:?}") };
        assert_eq!(ApplyOptions::from(arguments), ApplyOptions::default());
    }
}
