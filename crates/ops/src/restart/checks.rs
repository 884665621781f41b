//! What is looked at before anything is touched. Each look has an end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use parlant_health::{Check as _, DiskSpace, Status};
use parlant_settings::Settings;
use tokio::process::Command;
use tokio::time::timeout;

use super::Grade;
use super::unit::{Properties, one_line};

const LOOK: Duration = Duration::from_secs(10);
/// With less of the host's memory, two processes for a moment are one too many.
const LEAST_MEMORY_PERCENT: u64 = 10;

/// What a look came to.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    pub(super) step: &'static str,
    pub(super) detail: String,
}

impl Finding {
    pub(super) fn new(grade: Grade, step: &'static str, detail: impl Into<String>) -> Self {
        Self { grade, step, detail: detail.into() }
    }
}

/// A server that cannot write its log does not start.
pub(super) async fn disk(log_file: &Path) -> Finding {
    let check = DiskSpace::new([log_file.to_owned(), "/var/lib/parlant".into()]);
    let Ok(outcome) = timeout(LOOK, check.run()).await else {
        return Finding::new(Grade::Warning, "disk", "a file system does not answer");
    };
    let grade = match outcome.status {
        Status::Healthy => Grade::Ok,
        Status::Degraded => Grade::Warning,
        Status::Unhealthy => Grade::Failed,
    };
    let percent = &outcome.details["percent"];
    Finding::new(grade, "disk", format!("the fullest file system is {percent} % full"))
}

/// What is free and what the kernel would give back.
pub(super) fn memory() -> Finding {
    match psutil::memory::virtual_memory() {
        Ok(memory) => {
            let percent = memory.available() * 100 / memory.total().max(1);
            let grade = if percent < LEAST_MEMORY_PERCENT { Grade::Warning } else { Grade::Ok };
            Finding::new(grade, "memory", format!("{percent} % of the memory is available"))
        }
        Err(error) => Finding::new(Grade::Warning, "memory", format!("cannot be told: {error}")),
    }
}

/// One that is down is no reason against a restart, which may be what is needed; but a server does not start without it.
pub(super) async fn database(mut settings: Settings) -> Finding {
    let mut config = parlant_db_pool::Config::from_settings(&mut settings);
    "parlant-ops".clone_into(&mut config.application_name);
    if let Err(problems) = settings.finish() {
        return Finding::new(
            Grade::Warning,
            "database",
            format!("not asked: {}", one_line(problems.to_string().as_bytes())),
        );
    }
    let reason = match timeout(LOOK, parlant_db_pool::connect(&config)).await {
        Ok(Ok(_)) => return Finding::new(Grade::Ok, "database", "it takes connections"),
        Ok(Err(error)) => with_causes(&error),
        Err(_) => "no answer".to_owned(),
    };
    let detail = format!("out of reach, and a server that starts waits half a minute for it and gives up: {reason}");
    Finding::new(Grade::Warning, "database", detail)
}

/// Asks the program that would start, as the user that it would run as.
pub(super) async fn configuration(properties: &Properties, environment: &[(String, String)]) -> Finding {
    const STEP: &str = "configuration";
    let Some(program) = properties.program() else {
        return Finding::new(Grade::Failed, STEP, "the unit starts nothing");
    };
    let is_root = rustix::process::geteuid().is_root();
    let mut command = match properties.user() {
        Some(user) if is_root => {
            let mut command = Command::new("/usr/sbin/runuser");
            command.args(["-u", user, "--"]).arg(program);
            command
        }
        _ => Command::new(program),
    };
    command.arg("check-config").current_dir(properties.working_directory());
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(LOOK, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            Finding::new(Grade::Ok, STEP, format!("{} finds no problem in it", program.display()))
        }
        Ok(Ok(output)) => Finding::new(Grade::Failed, STEP, format!("{}: {}", output.status, one_line(&output.stderr))),
        Ok(Err(error)) => Finding::new(Grade::Failed, STEP, format!("{} cannot be run: {error}", program.display())),
        Err(_) => Finding::new(Grade::Failed, STEP, format!("{} does not end", program.display())),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
