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
  parlant-ops alerts render                                     Prometheus' rule file on standard output
  parlant-ops alerts render --output /etc/prometheus/parlant_alerts.yml
  parlant-ops alerts render --check --output deploy/prometheus/parlant_alerts.yml

Exit codes: 0 good, 1 failed, 64 bad usage."
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
