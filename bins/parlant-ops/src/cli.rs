use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use parlant_alerting::Severity;
use parlant_settings::FromSetting as _;

use crate::load_test::LoadTestArguments;

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
  sudo parlant-ops restart                                      restart the service, and see that it worked
  parlant-ops alerts test                                       does anybody hear of alerts?
  parlant-ops alerts list                                       what the server told and has to tell
  parlant-ops load-test --dev --rate 100 --duration 1m          load for what `parlant-server dev` runs

Settings come from the environment and from .env, as the server's do.
Exit codes: 0 good, 1 failed, 64 bad usage, 78 bad configuration; each command's --help has its own."
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
  parlant-ops doctor --token-file token.txt --workspace 4a0f…   why somebody is refused

It reads the environment and .env of the server: run it on the server's machine, in its directory. docs/reference/doctor.md
lists what it finds.
Exit codes: 0 nothing is wrong, 1 something is broken, 2 warnings only, 64 bad usage, 70 it could not look.")]
    Doctor(DoctorArguments),
    /// Restart the service without a dropped request, and see that it worked
    #[command(after_help = "\
Examples:
  parlant-ops restart --dry-run
  sudo parlant-ops restart
  sudo parlant-ops restart --reload              have the log's file and level taken anew
  sudo parlant-ops restart --unit parlant-server@8002 --url http://127.0.0.1:8002

docs/operations/restart.md says what is looked at, and what to do when it fails.
Exit codes: 0 it runs and answers, 1 it was begun and went wrong, 3 nothing was done, and why is said,
4 another restart is under way, 64 bad usage.")]
    Restart(RestartArguments),
    /// Put a running bridge under load and measure what its users would see
    LoadTest(Box<LoadTestArguments>),
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
    /// Show which alerts are pending, fire and were told, and what waits to be sent
    #[command(after_help = "\
Reads the file that the server keeps in ALERT_STATE_DIR.

Exit codes: 0 shown; 1 there is none; 64 bad usage; 78 bad configuration.")]
    List(ListArguments),
    /// Send a test to everybody who would be told of an alert, and say what came back
    #[command(after_help = "\
It goes to SLACK_WEBHOOK_URL, ALERT_JSON_WEBHOOK_URL and HEARTBEAT_URL, as far as they are set.

Exit codes: 0 everybody took it; 1 somebody did not, or nobody is told of alerts; 64 bad usage; 78 bad configuration.")]
    Test(TestArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[arg(long, value_name = "DIR", help = "Where the server keeps its alerts [default: ALERT_STATE_DIR]")]
    pub(crate) state_dir: Option<PathBuf>,
    /// One JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// What the test is to look like: info, warning or critical
    #[arg(long, default_value = "info", value_parser = severity())]
    pub(crate) severity: Severity,
    /// One JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Tell only findings whose id is, or begins with, this, such as `database` or `database.tls`; comma-separated
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Leave these out; a whole family, such as `sim`, is not looked at
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// Also judge the credential in this file, as the server would; otherwise the one in the environment, if any
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Also tell whether its bearer may enter this workspace, and by which rule
    #[arg(long, value_name = "ID")]
    pub(crate) workspace: Option<String>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct RestartArguments {
    /// The service's unit
    #[arg(long, value_name = "NAME", default_value = "parlant-server", value_parser = unit)]
    pub(crate) unit: String,
    /// Where it answers
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8001")]
    pub(crate) url: String,
    /// Only have settings read again (SIGHUP); a new program takes a restart
    #[arg(long)]
    pub(crate) reload: bool,
    /// Go on although a check before the restart failed
    #[arg(long)]
    pub(crate) force: bool,
    /// Look, say each step, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long the restart and what is checked afterwards may take, such as 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = Duration::from_setting)]
    pub(crate) max_wait: Duration,
    /// Where each step is written down
    #[arg(long, value_name = "FILE", default_value = "/var/log/parlant/restart.log")]
    pub(crate) log_file: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What systemd lets a unit be called; it becomes a part of a file's name.
fn unit(text: &str) -> Result<String, String> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || ":-_.\\@".contains(character);
    let is_good = !text.is_empty() && text.len() <= 200 && text.chars().all(is_allowed);
    if is_good { Ok(text.to_owned()) } else { Err("no name of a unit".to_owned()) }
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

fn severity() -> impl TypedValueParser<Value = Severity> {
    let all = [Severity::Info, Severity::Warning, Severity::Critical];
    PossibleValuesParser::new(all.map(Severity::as_str))
        .map(move |name| all.into_iter().find(|severity| severity.as_str() == name).unwrap_or(Severity::Info))
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(parlant_alerting::rules().into_iter().map(|rule| rule.name))
}
