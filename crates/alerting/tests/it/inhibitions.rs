//! Alertmanager and the table agree on what makes what superfluous.

use std::fs;
use std::path::Path;

use parlant_alerting::Severity::{Critical, Warning};
use parlant_alerting::{Inhibition, Matcher, inhibitions};

fn yaml(inhibition: &Inhibition) -> String {
    let matchers = |matchers: &[Matcher]| matchers.iter().map(Matcher::to_string).collect::<Vec<_>>().join(", ");
    let (cause, explained) = (matchers(&inhibition.cause), matchers(&inhibition.explained));
    let equal = if inhibition.equal.is_empty() {
        String::new()
    } else {
        format!("    equal: [{}]\n", inhibition.equal.join(", "))
    };
    format!("  - source_matchers: [{cause}]\n    target_matchers: [{explained}]\n{equal}")
}

#[test]
fn alertmanager_is_told_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/alertmanager/alertmanager.yml");
    let file = fs::read_to_string(path).unwrap();
    let (_, section) = file.split_once("\ninhibit_rules:\n").unwrap();
    let told = section.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n"));
    let told = told.collect::<String>().replace(" = ", "=").replace(" =~ ", "=~").replace(" !~ ", "!~");
    assert_eq!(told, inhibitions().iter().map(yaml).collect::<String>());
}

#[test]
fn an_outage_explains_its_consequences_and_nothing_else() {
    let on = |server: &str| vec![("instance".to_owned(), server.to_owned())];
    let (a, b, nowhere) = (on("a"), on("b"), Vec::new());
    let explains = |cause, other| inhibitions().iter().any(|inhibition| inhibition.explains(cause, other));
    let database = ("ParlantDatabaseDown", Critical, &a[..]);
    assert!(explains(database, ("ParlantHighErrorRate", Warning, &nowhere)));
    assert!(explains(database, ("ParlantServiceHealth", Critical, &a)));
    assert!(!explains(database, ("ParlantServiceHealth", Critical, &b)));
    assert!(!explains(database, database));
    let down = ("ParlantServiceDown", Critical, &nowhere[..]);
    assert!(explains(down, ("ParlantServiceHealth", Critical, &nowhere)));
    assert!(!explains(down, ("ParlantBackupTooOld", Warning, &nowhere)));
    let disk = ("ParlantDiskSpaceLow", Warning, &nowhere[..]);
    assert!(explains(disk, ("ParlantServiceHealth", Warning, &nowhere)));
    assert!(!explains(disk, ("ParlantServiceHealth", Critical, &nowhere)));
}
