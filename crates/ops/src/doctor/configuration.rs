//! The settings. Only the server knows all of them, so it is asked.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::doctor::Config;
use crate::doctor::kinds::{CONFIGURATION_INVALID, LOG_UNWRITABLE};
use crate::doctor::sheet::Sheet;

/// It reads files and connects to nobody.
const PATIENCE: Duration = Duration::from_secs(10);
/// `EX_CONFIG` of sysexits.h.
const EXIT_CONFIG: i32 = 78;

pub(crate) async fn look(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    let problems = match &config.server_program {
        Some(program) => check(program).await,
        None => Err("parlant-server is not beside this program".to_owned()),
    };
    let problems = problems.unwrap_or_else(|reason| {
        sheet.skip("configuration", format!("of what only the server reads: {reason}"));
        config.problems.iter().map(ToString::to_string).collect()
    });
    let (log, others): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.starts_with("LOG_FILE: cannot be written"));
    if !others.is_empty() {
        let finding = CONFIGURATION_INVALID.broken("The settings are such that the server does not start");
        sheet.find(finding.evidences(others).mend("parlant-server check-config"));
    }
    if !log.is_empty() {
        let finding = LOG_UNWRITABLE.broken("The log file cannot be written").evidences(log);
        sheet.find(
            finding.mend("ls -ld \"$(dirname \"$LOG_FILE\")\" \"$LOG_FILE\"; df -h \"$(dirname \"$LOG_FILE\")\""),
        );
    }
    sheet
}

/// What the server says of its settings, a line for each problem.
async fn check(program: &Path) -> Result<Vec<String>, String> {
    let mut command = Command::new(program);
    command.arg("check-config").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.map_err(|_| "check-config does not end".to_owned())?;
    let output = output.map_err(|error| format!("check-config: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(Vec::new()),
        // Under a heading.
        Some(EXIT_CONFIG) => Ok(said.lines().skip(1).map(str::to_owned).collect()),
        _ => Err(format!("check-config ended with {}", output.status)),
    }
}
