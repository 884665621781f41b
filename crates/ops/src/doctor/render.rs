//! A diagnosis for people.

use std::fmt::Write as _;

use crate::doctor::{Diagnosis, Finding, Severity};

impl Diagnosis {
    /// For a terminal of that many columns.
    #[must_use]
    pub fn text(&self, columns: usize) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            finding.write(&mut text, columns);
            text.push('\n');
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "not looked at: {}: {}", skipped.check, skipped.reason);
        }
        let (broken, warnings) = (self.count(Severity::Broken), self.count(Severity::Warning));
        let verdict = match (broken, warnings) {
            (0, 0) => "Nothing is wrong.".to_owned(),
            (0, warnings) => format!("{warnings} to look after, nothing broken."),
            (broken, 0) => format!("{broken} broken."),
            (broken, warnings) => format!("{broken} broken, {warnings} to look after."),
        };
        let _ = writeln!(text, "{verdict} Looked for {:.1} s.", self.seconds);
        text
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

impl Finding {
    fn write(&self, text: &mut String, columns: usize) {
        let word = match self.severity {
            Severity::Broken => "BROKEN",
            Severity::Warning => "warning",
        };
        let _ = writeln!(text, "{word}  {}\n  {}", self.id, self.summary);
        let mut part = |name: &str, body: &str| wrap(text, name, body, columns);
        for line in &self.evidence {
            part("seen", line);
        }
        part("cause", self.cause);
        // A command that is broken into lines cannot be pasted.
        for line in self.mend.lines() {
            let _ = writeln!(text, "  {:<8} {line}", "mend");
        }
        let _ = writeln!(text, "  {:<8} {}", "read", self.runbook);
        if !self.explains.is_empty() {
            let _ = writeln!(text, "  {:<8} {}", "explains", self.explains.join(", "));
        }
    }
}

/// Words in lines that fit, behind a name.
fn wrap(text: &mut String, name: &str, body: &str, columns: usize) {
    let (mut line, width) = (String::new(), columns.max(40) - 11);
    let mut name = name;
    for word in body.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            let _ = writeln!(text, "  {name:<8} {line}");
            line.clear();
            name = "";
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "  {name:<8} {line}");
}
