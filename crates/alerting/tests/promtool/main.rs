//! The rule file and its tests, judged by Prometheus' own tool, and the tests themselves: each part of each rule is
//! broken in turn, and a test has to notice.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod mutants;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use parlant_alerting::{RUNBOOKS, Rule, rule_file, rules};

use mutants::mutants;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus")
}

fn promtool(arguments: &[&OsStr]) -> Output {
    Command::new("promtool").args(arguments).output().expect("promtool of Debian's package prometheus")
}

#[track_caller]
fn hold(output: &Output) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

/// The file of tests for the alert of this page.
fn tests(page: &str) -> PathBuf {
    folder().join(format!("tests/{page}.yml"))
}

#[test]
fn prometheus_takes_the_rules() {
    hold(&promtool(&["check".as_ref(), "rules".as_ref(), folder().join("parlant_alerts.yml").as_ref()]));
}

#[test]
fn every_rule_has_tests_and_they_hold() {
    let expected: BTreeSet<_> = rules().iter().map(|rule| tests(&rule.page())).collect();
    let found: BTreeSet<_> = fs::read_dir(folder().join("tests")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(expected, found);
    for file in found {
        hold(&promtool(&["test".as_ref(), "rules".as_ref(), file.as_ref()]));
    }
}

#[test]
fn whatever_is_broken_in_a_rule_a_test_notices() {
    let scratch = tempfile::tempdir().unwrap();
    let all = rules();
    let mut trials = Vec::new();
    for (index, rule) in all.iter().enumerate() {
        for mutant in mutants(rule) {
            let number = trials.len();
            let folder = scratch.path().join(number.to_string());
            fs::create_dir_all(folder.join("tests")).unwrap();
            let mut same_name: Vec<Rule> = Vec::new();
            for (other, candidate) in all.iter().enumerate() {
                if other == index {
                    same_name.push(mutant.rule.clone());
                } else if candidate.name == rule.name {
                    same_name.push(candidate.clone());
                }
            }
            let (right, wrong) = &mutant.text;
            let rules = rule_file(&same_name, RUNBOOKS).replacen(right.as_str(), wrong, 1);
            fs::write(folder.join("parlant_alerts.yml"), rules).unwrap();
            let page = rule.page();
            let file = folder.join(format!("tests/{page}.yml"));
            fs::copy(tests(&page), &file).unwrap();
            trials.push((
                format!("{} ({}): {}", rule.name, rule.severity, mutant.what),
                folder.join("parlant_alerts.yml"),
                file,
            ));
        }
    }
    // A mutant that Prometheus refuses proves nothing.
    let files: Vec<_> = trials.iter().map(|(_, rules, _)| rules.as_os_str()).collect();
    hold(&promtool(&[&["check".as_ref(), "rules".as_ref(), "--lint=none".as_ref()], files.as_slice()].concat()));

    let total = trials.len();
    let waiting = Mutex::new(trials);
    let survivors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some((what, _, file)) = waiting.lock().unwrap().pop() else { return };
                    if promtool(&["test".as_ref(), "rules".as_ref(), file.as_ref()]).status.success() {
                        survivors.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().unwrap();
    assert!(survivors.is_empty(), "{} of {total} survive:\n{}", survivors.len(), survivors.join("\n"));
    assert!(total > 300, "{total} are too few to mean anything");
}
