//! `parlant-ops alerts`.

use std::fs;
use std::path::Path;

use crate::run;

/// The file that is published with the program.
fn published() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/parlant_alerts.yml");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_rules_go_to_standard_output_or_to_a_file() {
    let output = run(&["alerts", "render"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), published());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    let output = run(&["alerts", "render", "--output", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    assert_eq!(fs::read_to_string(&path).unwrap(), published());
}

#[test]
fn a_check_changes_nothing_and_fails_for_a_file_that_is_another_or_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    let check = || run(&["alerts", "render", "--check", "--output", path.to_str().unwrap()]);
    let missing = check();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("rules.yml: No such file"));
    assert!(!path.exists());
    fs::write(&path, published()).unwrap();
    assert_eq!(check().status.code(), Some(0));
    fs::write(&path, "groups: []\n").unwrap();
    assert_eq!(check().status.code(), Some(1));
    assert_eq!(fs::read_to_string(&path).unwrap(), "groups: []\n");
}

#[test]
fn runbooks_may_be_elsewhere_and_alerts_left_out() {
    let output = run(&[
        "alerts",
        "render",
        "--runbook-base=https://wiki.example.com/{page}.md",
        "--without=ParlantBackupTooOld",
        "--without=ParlantWatchdog",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(r#"runbook_url: "https://wiki.example.com/parlant-service-down.md""#), "{text}");
    assert!(!text.contains("docs.sim.com"), "{text}");
    for base in ["https://wiki.example.com", "https://wiki.example.com/"] {
        let text = String::from_utf8(run(&["alerts", "render", "--runbook-base", base]).stdout).unwrap();
        assert!(text.contains(r#"runbook_url: "https://wiki.example.com/parlant-service-down""#), "{text}");
    }
    let alerts = |text: &str| text.matches("- alert: ").count();
    assert_eq!(alerts(&text), alerts(&published()) - 2);
    assert!(!text.contains("alert: ParlantBackupTooOld") && !text.contains("alert: ParlantWatchdog"), "{text}");
}
