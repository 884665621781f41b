use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use parlant_ops_core::load_test::{Limits, LoadOptions};
use parlant_settings::FromSetting as _;

const EXAMPLES: &str = "\
Examples:
  parlant-ops load-test --dev                      the three built-in scenarios, against `parlant-server dev`
  parlant-ops load-test --dev --rate 100 --duration 1m --max-p99 500ms
  PARLANT_TOKEN_FILE=token parlant-ops load-test --scenario agents --concurrency 20 --duration 30s --json
  parlant-ops load-test --token-file token --scenarios mix.json --warm-up 30s --max-error-rate 0.1%

The token comes from --token-file, from --dev, or from PARLANT_TOKEN or PARLANT_TOKEN_FILE in the
environment or .env; never from an argument, which others can see. docs/reference/load-test.md has
scenario files and the report.

Exit codes: 0 thresholds met, 99 not met, 1 could not run or was interrupted, 64 bad usage.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoadTestArguments {
    #[arg(long, value_name = "URL", help = "Where the bridge is [default: that of --dev, or http://127.0.0.1:8001]")]
    pub(crate) url: Option<String>,
    /// Take address and token from dev.json in the data directory of `parlant-server dev`
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".parlant")]
    pub(crate) dev: Option<PathBuf>,
    /// Read the token from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Let the target be another machine
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// Run the scenarios of this file instead of the built-in ones: health, agents, auth-status
    #[arg(long, value_name = "FILE")]
    pub(crate) scenarios: Option<PathBuf>,
    /// Run only this scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Vec<String>,
    /// Print the report as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Load (what is not given is as the scenario says)")]
pub(crate) struct LoadArguments {
    /// Open model: so many requests a second, each sent when it is due
    #[arg(long, value_name = "NUMBER", conflicts_with = "concurrency")]
    rate: Option<f64>,
    /// Closed model: so many clients, each of which waits for its answer
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<usize>,
    /// End after so many requests
    #[arg(long, value_name = "NUMBER")]
    requests: Option<u64>,
    /// End after this time
    #[arg(long, value_name = "DURATION", value_parser = Duration::from_setting)]
    duration: Option<Duration>,
    /// Run the same load for this time before anything is counted
    #[arg(long, value_name = "DURATION", value_parser = Duration::from_setting)]
    warm_up: Option<Duration>,
    /// Open model: what is due while so many are in flight is not sent, but counted [default: 1000]
    #[arg(long, value_name = "NUMBER", conflicts_with = "concurrency")]
    max_in_flight: Option<usize>,
    /// Longest time for one request
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = Duration::from_setting)]
    pub(crate) timeout: Duration,
    /// Open a connection for each request
    #[arg(long)]
    pub(crate) no_keep_alive: bool,
}

impl LoadArguments {
    pub(crate) fn options(&self) -> LoadOptions {
        let &Self { rate, concurrency, max_in_flight, requests, duration, warm_up, .. } = self;
        LoadOptions { rate, concurrency, max_in_flight, requests, duration, warm_up }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Thresholds, for each scenario")]
pub(crate) struct LimitArguments {
    /// Half of the requests take at most this
    #[arg(long, value_name = "DURATION", value_parser = Duration::from_setting)]
    max_p50: Option<Duration>,
    /// 95 % take at most this
    #[arg(long, value_name = "DURATION", value_parser = Duration::from_setting)]
    max_p95: Option<Duration>,
    /// 99 % take at most this
    #[arg(long, value_name = "DURATION", value_parser = Duration::from_setting)]
    max_p99: Option<Duration>,
    /// 99.9 % take at most this
    #[arg(long = "max-p99.9", value_name = "DURATION", value_parser = Duration::from_setting)]
    max_p99_9: Option<Duration>,
    /// At most this share fails, has an unexpected status or cannot be sent: 0.1% or 0.001
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    max_error_rate: f64,
    /// At least so many good answers a second
    #[arg(long, value_name = "NUMBER")]
    min_rate: Option<f64>,
}

impl LimitArguments {
    pub(crate) fn limits(&self) -> Limits {
        let &Self { max_p50, max_p95, max_p99, max_p99_9, max_error_rate, min_rate } = self;
        Limits { max_p50, max_p95, max_p99, max_p99_9, max_error_rate: Some(max_error_rate), min_rate }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / unit);
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "must be a share such as 0.1% or 0.001".to_owned())
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_a_number_up_to_one_or_a_percentage() {
        for (text, expected) in [("0.1%", 0.001), ("100 %", 1.0), ("0.25", 0.25), ("0", 0.0)] {
            assert_eq!(share(text), Ok(expected), "{text}");
        }
        for text in ["5", "101%", "-1%", "NaN", "%", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
