//! A restart that is safe: looked at before, watched while it happens, and checked afterwards.
//!
//! Nothing is touched unless the checks before pass. The new process is known by its `start_id`, so an old one that does
//! not end is never taken for it. Everything after the checks has to end by [`Options::max_wait`].
//!
//! ```no_run
//! # use std::time::Duration;
//! use parlant_ops_core::restart::{Options, Outcome, restart};
//! # async fn example() {
//! let options = Options {
//!     unit: "parlant-server".into(),
//!     url: "http://127.0.0.1:8001".into(),
//!     reload: false,
//!     force: false,
//!     dry_run: true,
//!     max_wait: Duration::from_secs(60),
//!     log_file: "/var/log/parlant/restart.log".into(),
//! };
//! let report = restart(&options, |step| println!("{}: {}", step.step, step.detail)).await;
//! assert_eq!(report.outcome, Outcome::Good);
//! # }
//! ```
//!
//! A further look before is a function of `checks`; what is asked afterwards is listed in `service`.

mod checks;
mod environment;
mod journal;
mod lock;
mod report;
mod service;
mod unit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use checks::Finding;
use journal::Journal;
use lock::Lock;
pub use report::{Grade, Outcome, Report, Step};
use service::{Identity, Service};
use unit::{Properties, Refusal, Unit};

/// Between two looks at the service.
const POLL: Duration = Duration::from_millis(100);

/// What to restart, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The service's unit, with or without `.service`.
    pub unit: String,
    /// Where the service answers, without a slash at the end.
    pub url: String,
    /// Only has settings read again, by the process that runs; no new program is started.
    pub reload: bool,
    /// Goes on where a check before would refuse.
    pub force: bool,
    /// Looks and says what would be done, and does nothing.
    pub dry_run: bool,
    /// How long everything after the checks may take.
    pub max_wait: Duration,
    /// Where each step is written down, as one line of JSON.
    pub log_file: PathBuf,
}

/// Restarts the service and tells each step as it is done.
pub async fn restart(options: &Options, tell: impl FnMut(&Step)) -> Report {
    let start = Instant::now();
    let mut journal = Journal::new(&options.unit, tell);
    let mut report = Report::default();
    report.outcome = run(options, &mut journal, &mut report).await.err().unwrap_or_default();
    report.duration_seconds = start.elapsed().as_secs_f64();
    report.steps = journal.steps;
    report
}

async fn run(options: &Options, journal: &mut Journal<'_>, report: &mut Report) -> Result<(), Outcome> {
    let unit = Unit::new(&options.unit);
    // Given back by the kernel, however this ends.
    let _lock = if options.dry_run { None } else { Some(claim(options, &unit, journal)?) };
    let properties = match unit.properties().await {
        Ok(properties) => properties,
        Err(error) => return Err(journal.refuse("unit", error.to_string())),
    };
    let (variables, unread) = properties.environment();
    let settings = || environment::settings(&variables, properties.working_directory());
    let service = Service::new(&options.url, settings());
    if properties.is_running() {
        // At a socket whose service does not run, a question would start it.
        report.before = service.identity().await.ok();
    }
    let mut findings = unread;
    findings.extend(properties.findings(unit.name()));
    findings.push(checks::disk(&options.log_file).await);
    findings.push(checks::memory());
    findings.push(checks::database(settings()).await);
    findings.push(checks::configuration(&properties, &variables).await);
    let is_bad = findings.iter().any(|finding| finding.grade == Grade::Failed);
    for Finding { grade, step, detail } in findings {
        journal.note(grade, step, detail);
    }
    if is_bad && !options.force {
        return Err(journal.refuse("checks", "nothing is done; --force goes on all the same"));
    }
    let attempt = Attempt {
        verb: match (properties.is_running(), options.reload) {
            (false, _) => "start",
            (true, true) => "reload",
            (true, false) => "restart",
        },
        unit,
        properties,
        service,
        before: report.before.clone(),
    };
    if options.dry_run {
        attempt.describe(options, journal);
        return Ok(());
    }
    let kept = attempt.keep_program(journal).await;
    match attempt.make(Instant::now() + options.max_wait, journal).await {
        Ok(after) => report.after = Some(after),
        Err(outcome) => {
            if outcome == Outcome::Failed {
                report.advice = attempt.advice(kept.as_deref());
            }
            return Err(outcome);
        }
    }
    Ok(())
}

/// Begins to write down what is done, and sees to it that nobody else does it too.
fn claim(options: &Options, unit: &Unit, journal: &mut Journal<'_>) -> Result<Lock, Outcome> {
    let path = &options.log_file;
    if let Err(error) = journal.open(path) {
        let detail = format!("{} cannot be written: {error}; --log-file names another", path.display());
        return Err(journal.refuse("log", detail));
    }
    match Lock::take(unit.name()) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => {
            journal.note(Grade::Failed, "lock", "another restart of this unit is under way");
            Err(Outcome::Locked)
        }
        Err(error) => Err(journal.refuse("lock", error.to_string())),
    }
}

/// What is going to be done, and to what.
struct Attempt {
    verb: &'static str,
    unit: Unit,
    properties: Properties,
    service: Service,
    before: Option<Identity>,
}

impl Attempt {
    /// Says what would be done.
    fn describe(&self, options: &Options, journal: &mut Journal<'_>) {
        let Self { verb, unit, .. } = self;
        let (seconds, paths) = (options.max_wait.as_secs(), service::VALIDATED.join(", "));
        for (step, what) in [
            ("systemctl", format!("would run `systemctl {verb} {}`", unit.name())),
            ("service", format!("would wait up to {seconds} s for {} at {}", self.expected(), options.url)),
            ("validate", format!("would ask for {paths}")),
        ] {
            journal.note(Grade::Skipped, step, what);
        }
    }

    /// Keeps the program that runs where another one lies in its place: what comes may have to go again.
    async fn keep_program(&self, journal: &mut Journal<'_>) -> Option<PathBuf> {
        match self.properties.keep_program().await? {
            Ok(path) => {
                journal.note(Grade::Ok, "keep", format!("the program that runs is kept as {}", path.display()));
                Some(path)
            }
            Err(error) => {
                journal.note(Grade::Warning, "keep", format!("the program that runs cannot be kept: {error}"));
                None
            }
        }
    }

    /// Does it, waits until the right process answers, and asks that one for what it should be able to do.
    async fn make(&self, deadline: Instant, journal: &mut Journal<'_>) -> Result<Identity, Outcome> {
        let (verb, name) = (self.verb, self.unit.name());
        match timeout_at(deadline, self.unit.act(verb)).await {
            Ok(Ok(())) => journal.note(Grade::Ok, "systemctl", format!("`systemctl {verb} {name}` is done")),
            Ok(Err(Refusal::Permission(said))) => {
                let who = "be root (sudo), or let polkit permit you org.freedesktop.systemd1.manage-units";
                return Err(journal.refuse("systemctl", format!("it takes rights to {verb} {name}: {who} ({said})")));
            }
            Ok(Err(Refusal::Other(said))) => {
                return Err(journal.fail("systemctl", format!("`systemctl {verb} {name}` failed: {said}")));
            }
            Err(_) => {
                let now = self.unit.properties().await;
                let state = now.map_or_else(|error| error.to_string(), |now| now.state(&self.properties));
                return Err(journal.fail("systemctl", format!("`systemctl {verb} {name}` has not ended: {state}")));
            }
        }
        let after = self.wait(deadline, journal).await?;
        for path in service::VALIDATED {
            match self.service.validate(path, deadline).await {
                Ok(detail) => journal.note(Grade::Ok, "validate", format!("{path}: {detail}")),
                Err(detail) => return Err(journal.fail("validate", format!("{path}: {detail}"))),
            }
        }
        Ok(after)
    }

    async fn wait(&self, deadline: Instant, journal: &mut Journal<'_>) -> Result<Identity, Outcome> {
        let mut seen = "no answer".to_owned();
        loop {
            match timeout_at(deadline, self.service.identity()).await {
                Ok(Ok(now)) if self.is_expected(&now).await => {
                    let Identity { version, start_id } = &now;
                    journal.note(Grade::Ok, "service", format!("version {version} answers, start_id {start_id}"));
                    return Ok(now);
                }
                Ok(Ok(now)) => seen = format!("start_id {} answers, and not {}", now.start_id, self.expected()),
                Ok(Err(error)) => seen = error.to_string(),
                // Cut short, the look before says more.
                Err(_) => {}
            }
            if Instant::now() + POLL >= deadline {
                return Err(journal.fail("service", seen));
            }
            sleep(POLL).await;
        }
    }

    async fn is_expected(&self, now: &Identity) -> bool {
        let is_the_same = match &self.before {
            Some(before) => before.start_id == now.start_id,
            // It did not answer, and systemd knows at least which process it was.
            None => self.unit.properties().await.is_ok_and(|now| now.main_pid() == self.properties.main_pid()),
        };
        is_the_same == (self.verb == "reload")
    }

    fn expected(&self) -> &'static str {
        if self.verb == "reload" { "the process that runs" } else { "a new process" }
    }

    /// What to do now that it failed.
    fn advice(&self, kept: Option<&Path>) -> Vec<String> {
        let name = self.unit.name();
        let mut advice = vec![
            format!("See why: systemctl status {name}; journalctl --unit {name} --lines 50 --no-pager"),
            "See whether the schema fits the version: parlant-migrate status".to_owned(),
        ];
        if let Some(Identity { version, start_id }) = &self.before {
            advice.push(format!("Version {version} ran before (start_id {start_id})."));
        }
        if let (Some(kept), Some(program)) = (kept, self.properties.program()) {
            let (kept, program) = (kept.display(), program.display());
            advice.push(format!("Go back to it: install -m 0755 {kept} {program} && systemctl restart {name}"));
        }
        advice
    }
}
