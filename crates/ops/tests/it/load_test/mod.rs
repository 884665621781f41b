//! The load test, against a server that misbehaves on request.

mod errors;
mod file;
mod models;
mod server;
mod stall;
mod target;

use std::time::Duration;

use parlant_ops_core::load_test::{Limits, LoadOptions, Plan, Report, Scenario, ScenarioReport, Target};
use serde_json::json;

use server::Server;

/// A scenario that asks for `path`, with the fields of `more`.
fn scenario(path: &str, more: &serde_json::Value) -> Scenario {
    let mut scenario = json!({ "name": path, "path": path });
    scenario.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(scenario).unwrap()
}

fn closed(concurrency: usize, requests: u64) -> LoadOptions {
    LoadOptions { concurrency: Some(concurrency), requests: Some(requests), ..LoadOptions::default() }
}

fn open(rate: f64, duration: Duration) -> LoadOptions {
    LoadOptions { rate: Some(rate), duration: Some(duration), ..LoadOptions::default() }
}

async fn plan(server: &Server, scenarios: Vec<Scenario>, load: LoadOptions) -> Plan {
    Plan {
        target: Target::resolve(&server.url(), false).await.unwrap(),
        token: None,
        loads: Plan::loads(scenarios, load, LoadOptions::default()).unwrap(),
        keep_alive: true,
        timeout: Duration::from_secs(10),
        limits: Limits { max_error_rate: Some(0.0), ..Limits::default() },
    }
}

async fn run(plan: Plan) -> Report {
    plan.run(&tokio::sync::watch::Sender::default(), &tokio_util::sync::CancellationToken::new()).await.unwrap()
}

/// The only scenario of a report.
fn only(report: &Report) -> &ScenarioReport {
    match report.loads.as_slice() {
        [load] if load.scenarios.len() == 1 => &load.scenarios[0],
        _ => panic!("{report:#?}"),
    }
}
