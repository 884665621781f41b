use std::io::{self, Write as _};

use parlant_ops_core::restart::{Grade, Options, Outcome, Report, Step, restart};

use crate::Exit;
use crate::cli::RestartArguments;

/// Restarts the service and sees that it worked.
pub(crate) fn run(arguments: &RestartArguments) -> anyhow::Result<Exit> {
    let options = Options {
        unit: arguments.unit.clone(),
        url: arguments.url.clone(),
        reload: arguments.reload,
        force: arguments.force,
        dry_run: arguments.dry_run,
        max_wait: arguments.max_wait,
        log_file: arguments.log_file.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tell = |step: &Step| {
        if !arguments.json {
            // Whoever watches may have gone; the restart goes on.
            let _ = writeln!(io::stdout().lock(), "{}", line(step));
        }
    };
    let report = runtime.block_on(restart(&options, tell));
    // What hangs in a file system that does not answer is left there.
    runtime.shutdown_background();
    let text = if arguments.json { serde_json::to_string(&report)? } else { summary(&report) };
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(match report.outcome {
        Outcome::Good => Exit::Good,
        Outcome::Failed => Exit::Failed,
        Outcome::Refused => Exit::Refused,
        Outcome::Locked => Exit::Locked,
    })
}

fn line(step: &Step) -> String {
    let status = match step.status {
        Grade::Ok => "ok",
        Grade::Warning => "WARNING",
        Grade::Failed => "FAILED",
        Grade::Skipped => "-",
    };
    format!("{status:<8} {:<14} {}", step.step, step.detail)
}

fn summary(report: &Report) -> String {
    let outcome = match report.outcome {
        Outcome::Good => "Good",
        Outcome::Failed => "FAILED",
        Outcome::Refused | Outcome::Locked => "Nothing was done",
    };
    let mut lines = report.advice.clone();
    lines.push(format!("{outcome}, after {:.1} s", report.duration_seconds));
    lines.join("\n")
}
