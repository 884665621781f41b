//! Prometheus' file is what the table says. A file that is not is written anew, and the test fails once, so that the
//! change is seen and committed.

use std::fs;
use std::path::Path;

use parlant_alerting::{RUNBOOKS, Rule, Source, rule_file, rules};

#[test]
fn the_rule_file_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/parlant_alerts.yml");
    let expected = rule_file(&rules(), RUNBOOKS);
    if !fs::read_to_string(&path).is_ok_and(|text| text == expected) {
        fs::write(&path, expected).unwrap();
        panic!("{} was not what the table says; it is now: commit it", path.display());
    }
}

#[test]
fn only_the_server_s_end_and_the_backups_need_prometheus_to_be_seen() {
    let rules = rules();
    let sees_more = |rule: &&Rule| rule.expression.selectors().iter().any(|series| series.source != Source::Server);
    let names: Vec<_> = rules.iter().filter(sees_more).map(|rule| rule.name).collect();
    assert_eq!(names, ["ParlantServiceDown", "ParlantBackupTooOld", "ParlantBackupUnverified"]);
}
