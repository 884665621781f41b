//! The rule file and its tests, judged by Prometheus' own tool, and the tests themselves: each part of each rule is
//! broken in turn, and a test has to notice.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

mod differential;
mod mutants;
mod service;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use parlant_alerting::{Expression, RUNBOOKS, Rule, rule_file, rules};

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
fn the_evaluator_says_what_prometheus_says_at_the_same_moments() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("parlant_alerts.yml"), rule_file(&rules(), RUNBOOKS)).unwrap();
    // As often as rules are evaluated, and out of step with that.
    for interval in [30, 20] {
        let (tests, rules) = differential::tests(interval);
        let file = scratch.path().join("tests.yml");
        fs::write(&file, tests).unwrap();
        hold(&promtool(&["test".as_ref(), "rules".as_ref(), file.as_ref()]));
        for (rule, fired, ended) in rules {
            println!("{:30} {:10} fired {fired:3}, ended {ended:3}", rule.name, rule.severity);
            assert!(fired > 0 && (ended > 0 || rule.expression == Expression::Always), "{}", rule.name);
        }
    }
}

#[test]
fn whatever_is_broken_in_a_rule_a_test_notices() {
    let pages: BTreeSet<_> = rules().iter().map(Rule::page).collect();
    let (mut total, mut survivors) = (0, Vec::new());
    std::thread::scope(|scope| {
        let running: Vec<_> = pages.iter().map(|page| scope.spawn(|| try_out(page))).collect();
        for (tried, missed) in running.into_iter().map(|page| page.join().unwrap()) {
            total += tried;
            survivors.extend(missed);
        }
    });
    assert!(survivors.is_empty(), "{} of {total} survive:\n{}", survivors.len(), survivors.join("\n"));
    assert!(total > 500, "{total} are too few to mean anything");
}

/// How many ways there are to break the rules of this page, and those that its tests do not notice.
fn try_out(page: &str) -> (usize, Vec<String>) {
    let trials = trials(page);
    let scratch = tempfile::tempdir().unwrap();
    // All are tried at once, each under a name of its own.
    let mut text = String::from("groups:\n  - name: trials\n    rules:\n");
    text.extend(trials.iter().map(|trial| trial.rules.as_str()));
    let file = scratch.path().join("parlant_alerts.yml");
    fs::write(&file, text).unwrap();
    // What Prometheus refuses proves nothing.
    hold(&promtool(&["check".as_ref(), "rules".as_ref(), "--lint=none".as_ref(), file.as_ref()]));
    fs::create_dir(scratch.path().join("tests")).unwrap();
    let file = scratch.path().join("tests/trials.yml");
    fs::write(&file, multiplied(&fs::read_to_string(tests(page)).unwrap(), trials.len())).unwrap();
    let output = promtool(&["test".as_ref(), "rules".as_ref(), file.as_ref()]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let is_noticed = |number: usize| said.contains(&format!("_{number}, time: "));
    assert!(!is_noticed(0), "the unbroken rule is not what the tests expect: {said}");
    let missed = (1..trials.len()).filter(|number| !is_noticed(*number)).map(|number| trials[number].what.clone());
    (trials.len() - 1, missed.collect())
}

/// A rule to try out.
struct Trial {
    what: String,
    /// As in Prometheus' file, with the trial's number at the end of the name.
    rules: String,
}

/// The rules of one page as they are, then with each possible damage.
fn trials(page: &str) -> Vec<Trial> {
    let same_page: Vec<_> = rules().into_iter().filter(|rule| rule.page() == page).collect();
    let mut trials = Vec::new();
    let mut add = |what: String, rules: &[Rule], (right, wrong): (&str, &str)| {
        let name = format!("- alert: {}", rules[0].name);
        let file = rule_file(rules, RUNBOOKS);
        let (_, rules) = file.split_once("    rules:\n").unwrap();
        let rules = rules.replacen(right, wrong, 1).replace(&name, &format!("{name}_{}", trials.len()));
        trials.push(Trial { what, rules });
    };
    add("unbroken".to_owned(), &same_page, ("", ""));
    for (index, rule) in same_page.iter().enumerate() {
        for mutant in mutants(rule) {
            let mut rules = same_page.clone();
            rules[index] = mutant.rule;
            let what = format!("{} ({}): {}", rule.name, rule.severity, mutant.what);
            add(what, &rules, (&mutant.text.0, &mutant.text.1));
        }
    }
    trials
}

/// The tests with each expectation held against each of so many rules.
fn multiplied(tests: &str, trials: usize) -> String {
    let mut multiplied = String::new();
    let mut blocks = tests.split("    alert_rule_test:\n");
    multiplied += blocks.next().unwrap();
    for block in blocks {
        multiplied += "    alert_rule_test:\n";
        // The expectations end where the next test begins.
        let (expectations, rest) = block.split_once("\n\n").unwrap_or((block, ""));
        let expectations = format!("\n{}", expectations.trim_end());
        for expectation in expectations.split("\n      - ").skip(1) {
            let (head, tail) = expectation.split_once("alertname: ").unwrap();
            let (name, tail) = tail.split_at(tail.find([',', '\n']).unwrap());
            for number in 0..trials {
                writeln!(multiplied, "      - {head}alertname: {name}_{number}{tail}").unwrap();
            }
        }
        multiplied += rest;
    }
    multiplied
}
