//! The load test of `parlant-ops-core` against the real server, with the token of `dev`.

use std::path::Path;
use std::time::Duration;

use parlant_ops_core::load_test::{Dev, Limits, LoadOptions, Plan, Report, Scenario, ScenarioFile, Target};

use crate::dev::{dev, handout, stop};

async fn load(directory: &Path, scenarios: Vec<Scenario>, options: LoadOptions, fallback: LoadOptions) -> Report {
    let Dev { base_url, token } = Dev::read(&directory.join(".parlant")).unwrap();
    let plan = Plan {
        target: Target::resolve(&base_url, false).await.unwrap(),
        token: Some(token),
        loads: Plan::loads(scenarios, options, fallback).unwrap(),
        keep_alive: true,
        timeout: Duration::from_secs(30),
        limits: Limits { max_error_rate: Some(0.0), ..Limits::default() },
    };
    plan.run(&tokio::sync::watch::Sender::default(), &tokio_util::sync::CancellationToken::new()).await.unwrap()
}

/// Each scenario with what it was answered, and how often.
fn answers(report: &Report) -> Vec<(&str, Vec<(u16, u64)>)> {
    let scenarios = report.loads.iter().flat_map(|load| &load.scenarios);
    let statuses = scenarios.map(|scenario| {
        assert!(scenario.bytes > 0 && scenario.latency_seconds.max > Some(0.0), "{report:#?}");
        let statuses = scenario.statuses.iter().map(|status| (status.status, status.latency_seconds.count));
        (scenario.name.as_str(), statuses.collect())
    });
    statuses.collect()
}

#[tokio::test]
async fn the_built_in_scenarios_and_those_of_the_documentation_are_answered_as_expected() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = dev(directory.path(), &[]);
    handout(&mut server, directory.path()).await;
    let nothing = LoadOptions::default();
    let report = load(directory.path(), Scenario::built_in(), nothing, nothing).await;
    let expected = vec![("health", vec![(200, 500)]), ("agents", vec![(200, 100)]), ("auth-status", vec![(200, 200)])];
    assert_eq!(answers(&report), expected, "{report:#?}");
    assert!(report.met, "{report:#?}");

    let page = include_str!("../../../../docs/reference/load-test.md");
    let (_, example) = page.split_once("```json\n").unwrap();
    let path = directory.path().join("scenarios.json");
    std::fs::write(&path, example.split_once("```").unwrap().0).unwrap();
    let file = ScenarioFile::read(&path).unwrap();
    let short = LoadOptions { rate: Some(100.0), requests: Some(50), warm_up: Some(Duration::ZERO), ..nothing };
    let report = load(directory.path(), file.scenarios, short, file.load).await;
    let expected = vec![("unknown", vec![(404, 50)]), ("list", vec![(200, 45)]), ("validate", vec![(200, 5)])];
    assert_eq!(answers(&report), expected, "{report:#?}");
    assert!(report.met, "{report:#?}");
    stop(server).await;
}
