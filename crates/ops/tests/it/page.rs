//! The page that lists what can be found.

use std::fs;
use std::path::{Path, PathBuf};

use parlant_ops_core::doctor::KINDS;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
fn every_kind_of_finding_is_on_the_page_with_its_cause_and_a_runbook_that_is_there() {
    let page = fs::read_to_string(docs().join("reference/doctor.md")).unwrap();
    for kind in KINDS {
        let line = format!("| `{}` | {} | [{}](../{}) |", kind.id, kind.cause, name(kind.id), link(kind.id));
        assert!(page.lines().any(|found| found == line), "{line}");
        let file = kind.runbook().split('#').next().unwrap().strip_prefix("docs/").unwrap().to_owned();
        assert!(kind.runbook().contains('#') || docs().join(&file).exists(), "{file}");
    }
    let listed = page.lines().filter(|line| line.starts_with("| `") && line.contains("](../")).count();
    assert_eq!(listed, KINDS.len());
}

fn link(id: &str) -> String {
    let runbook = KINDS.iter().find(|kind| kind.id == id).unwrap().runbook();
    runbook.strip_prefix("docs/").unwrap().to_owned()
}

fn name(id: &str) -> String {
    let link = link(id);
    if link.contains('#') { "troubleshooting".to_owned() } else { link.rsplit(['/', '.']).nth(1).unwrap().to_owned() }
}
