use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::doctor::kinds::DOCTOR_UNFINISHED;
use crate::doctor::sheet::Sheet;
use crate::doctor::{
    Config, Finding, KINDS, Severity, Skipped, alerts, backup, clock, configuration, database, engine, host, server,
    sim, token,
};

/// How long a family may look. What it does ends before by itself; this is for what cannot.
const PATIENCE: Duration = Duration::from_secs(25);

/// What is wrong with a deployment.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    pub skipped: Vec<Skipped>,
    /// How long it took.
    pub seconds: f64,
}

/// Looks at everything that is wanted. It takes at most 25 s, a second or two where nothing is wrong.
pub async fn diagnose(config: &Config) -> Diagnosis {
    let begun = Instant::now();
    let looks: [(&str, Look<'_>); 9] = [
        ("configuration", Box::pin(configuration::look(config))),
        ("database", Box::pin(database::look(config))),
        ("sim", Box::pin(sim::look(config))),
        ("token", Box::pin(token::look(config))),
        ("server", Box::pin(server::look(config))),
        ("host", Box::pin(host::look(config))),
        ("backup", Box::pin(backup::look(config))),
        ("engine", Box::pin(engine::look(config))),
        ("alerts", Box::pin(alerts::look(config))),
    ];
    let wanted = looks.into_iter().filter(|(name, _)| !config.selection.skips(name));
    let mut sheet = Sheet::default();
    for found in join_all(wanted.map(|(name, look)| family(name, look))).await {
        sheet.append(found);
    }
    clock::conclude(&mut sheet);
    sheet.explain();
    sheet.select(&config.selection);
    Diagnosis { findings: sheet.findings, skipped: sheet.skipped, seconds: begun.elapsed().as_secs_f64() }
}

/// A family that looks.
type Look<'a> = Pin<Box<dyn Future<Output = Sheet> + 'a>>;

/// What a family finds within its time.
async fn family(name: &'static str, look: Look<'_>) -> Sheet {
    timeout(PATIENCE, look).await.unwrap_or_else(|_| {
        let mut sheet = Sheet::default();
        let summary = format!("The look at what begins with {name} did not end in {} s", PATIENCE.as_secs());
        sheet.find(DOCTOR_UNFINISHED.warning(summary).mend(format!("parlant-ops doctor --only {name}")));
        sheet
    })
}

impl Diagnosis {
    /// Whether something does not work.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Broken)
    }
}

impl Sheet {
    /// Moves what others explain into what explains it.
    fn explain(&mut self) {
        let all = std::mem::take(&mut self.findings);
        let reason = |id: &str| {
            let kind = KINDS.iter().find(|kind| kind.id == id)?;
            let explains = |other: &&Finding| {
                let broken = other.severity == Severity::Broken;
                let by = |by: &&str| other.id == *by || broken && other.id.starts_with(by);
                other.id != id && kind.explained_by.iter().any(by)
            };
            all.iter().find(explains).map(|finding| finding.id)
        };
        // What explains may be explained in turn; the table has no circles.
        let root = |id| std::iter::successors(reason(id), |id| reason(id)).last();
        let roots: Vec<_> = all.iter().map(|finding| root(finding.id)).collect();
        let mut explained = Vec::new();
        for (finding, root) in all.into_iter().zip(roots) {
            match root {
                Some(root) => explained.push((root, finding.id)),
                None => self.findings.push(finding),
            }
        }
        for (root, id) in explained {
            if let Some(finding) = self.findings.iter_mut().find(|finding| finding.id == root) {
                finding.explains.push(id);
            }
        }
        self.findings.sort_by_key(|finding| finding.severity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::kinds::{DATABASE_LOCKED, DATABASE_LONG_TRANSACTION, DATABASE_REFUSED, SCHEMA_UNREADABLE};

    #[test]
    fn one_cause_is_one_finding() {
        let mut sheet = Sheet::default();
        sheet.find(DATABASE_LONG_TRANSACTION.warning("long"));
        sheet.find(SCHEMA_UNREADABLE.broken("unreadable"));
        sheet.find(DATABASE_LOCKED.broken("locked"));
        sheet.explain();
        let [finding] = sheet.findings.as_slice() else { panic!("{:?}", sheet.findings) };
        assert_eq!(finding.id, "database.locked");
        assert_eq!(finding.explains, ["database.long_transaction", "schema.unreadable"]);
    }

    #[test]
    fn ids_are_unique_and_nothing_explains_itself_in_a_circle() {
        for (index, kind) in KINDS.iter().enumerate() {
            assert!(!KINDS[..index].iter().any(|other| other.id == kind.id), "{}", kind.id);
            let mut sheet = Sheet::default();
            sheet.findings.extend(KINDS.iter().map(|kind| kind.broken("found")));
            sheet.explain();
            let explained: usize = sheet.findings.iter().map(|finding| finding.explains.len()).sum();
            assert_eq!(sheet.findings.len() + explained, KINDS.len());
        }
    }

    #[test]
    fn what_is_not_wanted_stays_where_it_is_the_reason() {
        let mut sheet = Sheet::default();
        sheet.find(DATABASE_REFUSED.broken("refused"));
        sheet.blame("schema", DATABASE_REFUSED.id);
        sheet.skip("sim", "no address");
        sheet.select(&crate::doctor::Selection { only: vec!["schema".to_owned()], skip: Vec::new() });
        assert_eq!(sheet.findings.len(), 1);
        assert_eq!(sheet.skipped.len(), 1);
    }
}
