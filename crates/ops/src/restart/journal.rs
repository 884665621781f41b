use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use chrono::{SecondsFormat, Utc};
use serde_json::json;

use super::{Grade, Outcome, Step};

/// The folder may belong to the service, which must not lead whoever restarts it to another file.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// The steps, told and written down as they are done.
pub(super) struct Journal<'a> {
    unit: &'a str,
    tell: Box<dyn FnMut(&Step) + 'a>,
    file: Option<File>,
    pub(super) steps: Vec<Step>,
}

impl<'a> Journal<'a> {
    pub(super) fn new(unit: &'a str, tell: impl FnMut(&Step) + 'a) -> Self {
        Self { unit, tell: Box::new(tell), file: None, steps: Vec::new() }
    }

    /// Writes down what follows.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        }
        self.file = Some(OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(NO_LINK).open(path)?);
        Ok(())
    }

    pub(super) fn note(&mut self, status: Grade, step: &'static str, detail: impl Into<String>) {
        let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let step = Step { timestamp, step, status, detail: detail.into() };
        if let Some(file) = &mut self.file {
            let line = json!({
                "timestamp": step.timestamp, "unit": self.unit, "pid": std::process::id(),
                "step": step.step, "status": step.status, "detail": step.detail,
            });
            // A disk that is full does not stop what may mend it.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
        (self.tell)(&step);
        self.steps.push(step);
    }

    pub(super) fn refuse(&mut self, step: &'static str, detail: impl Into<String>) -> Outcome {
        self.note(Grade::Failed, step, detail);
        Outcome::Refused
    }

    pub(super) fn fail(&mut self, step: &'static str, detail: impl Into<String>) -> Outcome {
        self.note(Grade::Failed, step, detail);
        Outcome::Failed
    }
}
