//! The runbooks are about these rules and about this product.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use parlant_alerting::{Rule, rules};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of each page, by its name.
fn pages() -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join("docs/runbooks")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// Everything that the other crates, the programs, the migrations and the roles say.
fn sources() -> String {
    let mut text = String::new();
    let mut folders = ["crates", "bins", "migrations", "deploy/sql"].map(|folder| root().join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_source = path.extension().is_some_and(|ending| ending == "rs" || ending == "sql");
            if path.is_dir() && !path.ends_with("crates/alerting") {
                folders.push(path);
            } else if is_source {
                text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}

/// The name of the metric whose series these are: a histogram has three kinds.
fn family(series: &str) -> &str {
    ["_bucket", "_count", "_sum"].iter().find_map(|kind| series.strip_suffix(kind)).unwrap_or(series)
}

#[test]
fn every_rule_has_a_page_and_every_page_a_rule() {
    let expected: BTreeSet<_> = rules().iter().map(Rule::page).chain(["README".to_owned()]).collect();
    let found: BTreeSet<_> = pages().into_iter().map(|(name, _)| name).collect();
    assert_eq!(expected, found);
    for rule in rules() {
        let (_, index) = pages().into_iter().find(|(name, _)| name == "README").unwrap();
        let line = format!("| [{}]({}.md) |", rule.name, rule.page());
        let line =
            index.lines().find(|found| found.starts_with(&line)).unwrap_or_else(|| panic!("{line} in the index"));
        assert!(line.contains(rule.severity.as_str()), "{line}: {}", rule.severity);
        let (_, page) = pages().into_iter().find(|(name, _)| *name == rule.page()).unwrap();
        assert!(page.starts_with(&format!("# {}\n", rule.name)), "{}", rule.name);
    }
}

#[test]
fn every_metric_that_a_rule_looks_at_is_emitted_by_somebody() {
    let sources = sources();
    for rule in rules() {
        let selectors = rule.expression.selectors();
        for series in selectors.iter().map(|selector| selector.metric).filter(|series| *series != "up") {
            assert!(sources.contains(&format!("\"{}\"", family(series))), "{}: nobody emits {series}", rule.name);
        }
    }
}

#[test]
fn every_metric_table_and_variable_that_a_page_names_exists() {
    let sources = sources();
    for (name, page) in pages() {
        for word in page.split(|character: char| !character.is_ascii_alphanumeric() && character != '_') {
            let ours = word.starts_with("parlant_") || word.starts_with("process_");
            let shouted = word.contains('_') && word.chars().all(|character| !character.is_ascii_lowercase());
            if (ours || shouted) && word != "process_" {
                assert!(sources.contains(family(word)), "{name} names {word}, which does not exist");
            }
        }
    }
}
