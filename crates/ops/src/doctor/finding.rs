use serde::Serialize;

use crate::doctor::Kind;

/// The most lines of evidence.
const MOST_EVIDENCE: usize = 20;
/// The most characters of one.
const LONGEST_EVIDENCE: usize = 300;

/// Something that is wrong, and what to do about it. Nothing in it is secret or personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which kind it is; it never changes its meaning.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence.
    pub summary: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// Why that happens.
    pub cause: &'static str,
    /// A command for a shell, or a few.
    pub mend: String,
    /// The page with the rest, in the repository.
    pub runbook: String,
    /// Ids of what was found besides and is of no interest once this is mended.
    pub explains: Vec<&'static str>,
}

/// How bad something is. The worse, the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody is refused, or will be with the next start.
    Broken,
    /// It works, and somebody should look.
    Warning,
}

impl Kind {
    pub(crate) fn broken(&self, summary: impl Into<String>) -> Finding {
        self.found(Severity::Broken, summary.into())
    }

    pub(crate) fn warning(&self, summary: impl Into<String>) -> Finding {
        self.found(Severity::Warning, summary.into())
    }

    pub(crate) fn found(&self, severity: Severity, summary: String) -> Finding {
        Finding {
            id: self.id,
            severity,
            summary,
            evidence: Vec::new(),
            cause: self.cause,
            mend: String::new(),
            runbook: self.runbook(),
            explains: Vec::new(),
        }
    }
}

impl Finding {
    /// Adds a line of evidence, unless there is plenty already.
    #[must_use]
    pub(crate) fn evidence(mut self, line: impl Into<String>) -> Self {
        let line: String = line.into();
        if self.evidence.len() < MOST_EVIDENCE {
            self.evidence.push(line.chars().take(LONGEST_EVIDENCE).map(plain).collect());
        }
        self
    }

    #[must_use]
    pub(crate) fn evidences(self, lines: impl IntoIterator<Item = String>) -> Self {
        lines.into_iter().fold(self, Self::evidence)
    }

    #[must_use]
    pub(crate) fn mend(mut self, command: impl Into<String>) -> Self {
        self.mend = command.into();
        self
    }
}

/// Nothing that others say moves the cursor of a terminal.
fn plain(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}
