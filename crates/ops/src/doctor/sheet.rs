use serde::Serialize;

use crate::doctor::Finding;

/// What a family of checks has found.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) findings: Vec<Finding>,
    pub(crate) skipped: Vec<Skipped>,
}

/// What could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The beginning of the ids that it may have found.
    pub check: &'static str,
    /// Why not.
    pub reason: String,
    /// The finding that is to blame, if there is one.
    pub because: Option<&'static str>,
}

impl Sheet {
    pub(crate) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn skip(&mut self, check: &'static str, reason: impl Into<String>) {
        self.skipped.push(Skipped { check, reason: reason.into(), because: None });
    }

    /// Skips `check` because of a finding of another one.
    pub(crate) fn blame(&mut self, check: &'static str, finding: &'static str) {
        self.skipped.push(Skipped { check, reason: format!("{finding} is in the way"), because: Some(finding) });
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.skipped.extend(other.skipped);
    }
}
