use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

/// Operates the Sim-Parlant Integration Bridge.
#[derive(Debug, Parser)]
#[command(
    name = "parlant-ops",
    version = env!("PARLANT_VERSION"),
    after_help = "\
Examples:
  parlant-ops doctor                                            what is wrong here, and what to do about it
  parlant-ops alerts render                                     Prometheus' rule file on standard output
  parlant-ops alerts render --output /etc/prometheus/parlant_alerts.yml
  parlant-ops alerts render --check --output deploy/prometheus/parlant_alerts.yml

Settings come from the environment and from .env, as the server's do.
Exit codes: 0 good, 1 failed, 64 bad usage; each command's --help has its own."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The alert rules
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Find out what is wrong with this deployment, and what to do about it; changes nothing
    #[command(after_help = "\
Examples:
  parlant-ops doctor
  parlant-ops doctor --json | jq -r '.findings[].id'
  parlant-ops doctor --only database --skip database.slow_statements

It reads the environment and .env of the server: run it on the server's machine, in its directory. docs/reference/doctor.md
lists what it finds.
Exit codes: 0 nothing is wrong, 1 something is broken, 2 warnings only, 64 bad usage, 70 it could not look.")]
    Doctor(DoctorArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Write the alert rules as a file for Prometheus
    #[command(after_help = "\
Examples:
  parlant-ops alerts render --output /etc/prometheus/parlant_alerts.yml
  parlant-ops alerts render --runbook-base 'https://wiki.example.com/{page}.md'
  parlant-ops alerts render --without ParlantBackupTooOld --without ParlantBackupUnverified

Exit codes: 0 written, or the same already; 1 the file cannot be written or, with --check, is another; 64 bad usage.")]
    Render(RenderArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Tell only findings whose id is, or begins with, this, such as `database` or `database.tls`; comma-separated
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Leave these out
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RenderArguments {
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write nothing; fail unless the file of --output is what would be written
    #[arg(long, requires = "output")]
    pub(crate) check: bool,
    /// Where the runbooks are: a folder, or an address with {page} in place of the page's name
    #[arg(long, value_name = "URL", default_value = parlant_alerting::RUNBOOKS)]
    pub(crate) runbook_base: String,
    /// Leave this alert out; may be given several times
    #[arg(long, value_name = "ALERT", value_parser = names(), hide_possible_values = true)]
    pub(crate) without: Vec<String>,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(parlant_alerting::rules().into_iter().map(|rule| rule.name))
}
