use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The server of the Sim-Parlant Integration Bridge.
#[derive(Debug, Parser)]
#[command(
    name = "parlant-server",
    version = env!("PARLANT_VERSION"),
    after_help = "\
Examples:
  parlant-server dev                     run the whole product with nothing configured
  parlant-server dev --port 0 --fresh    the same, on a free port, starting over
  parlant-server dev --parlant           the same, answered by a real Parlant with a stand-in for the model
  parlant-server check-config            validate the environment and print what holds
  DATABASE_URL_FILE=/run/secrets/db parlant-server serve

Settings come from the environment and from .env; docs/reference/environment.md lists them.
Exit codes: 0 stopped cleanly, 1 failed, 64 bad usage, 78 bad configuration."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve, configured by the environment
    Serve,
    /// Serve with a private PostgreSQL, a demo user and an echo that answers; needs nothing configured
    Dev(DevArguments),
    /// Validate the settings and print what holds, secrets redacted
    CheckConfig,
}

#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Port to listen on; 0 picks a free one [default: PORT, or 8001]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Where the private PostgreSQL and dev.json live
    #[arg(long, value_name = "DIR", default_value = ".parlant")]
    pub(crate) data_dir: PathBuf,
    /// Remove what an earlier `dev` left in the data directory first
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Let a real Parlant answer, with a stand-in for the model; needs a Python that has it
    #[arg(long)]
    pub(crate) parlant: bool,
}
