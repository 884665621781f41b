//! The doctor, asked about deployments that are well and that are not, and the load test, against servers that misbehave.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]
#![expect(clippy::print_stdout, reason = "a failed test shows what was found")]

mod database;
mod load_test;
mod page;

use parlant_ops_core::doctor::{Config, Diagnosis, Selection, diagnose};
use parlant_settings::Settings;

/// What is found of the database and its schema with these settings.
async fn examine(settings: &[(&str, &str)]) -> Diagnosis {
    let mut config = Config::from_settings(Settings::from_pairs(settings.iter().copied())).unwrap();
    config.selection = Selection { only: vec!["database".to_owned(), "schema".to_owned()], skip: others() };
    diagnose(&config).await
}

/// What was found; a failed test shows all of it.
fn ids(diagnosis: &Diagnosis) -> Vec<&'static str> {
    println!("{}", diagnosis.text(120));
    diagnosis.findings.iter().map(|finding| finding.id).collect()
}

/// What these tests are not about.
fn others() -> Vec<String> {
    ["configuration", "sim", "token", "server", "host", "backup", "engine", "alerts"].map(str::to_owned).into()
}
