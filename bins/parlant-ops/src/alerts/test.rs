use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::ensure;
use chrono::Utc;
use parlant_alerting::{Config, JSON_WEBHOOK_URL, Key, Notification, SLACK_WEBHOOK_URL, Status, send_within};
use serde_json::{Value, json};

use crate::Exit;
use crate::cli::TestArguments;

/// For one receiver, with every try.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a test to everybody who would be told of an alert, and says what came back.
pub(crate) fn test(config: &Config, arguments: &TestArguments) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let results = runtime.block_on(send(config, arguments));
    ensure!(
        !results.is_empty(),
        "nobody is told of alerts: neither {} nor {} is set",
        SLACK_WEBHOOK_URL.name,
        JSON_WEBHOOK_URL.name
    );
    let mut out = io::stdout().lock();
    if arguments.json {
        let results: Vec<Value> = results
            .iter()
            .map(|(name, result)| json!({ "receiver": name, "taken": result.is_ok(), "error": result.as_ref().err() }))
            .collect();
        writeln!(out, "{}", Value::from(results))?;
    } else {
        for (name, result) in &results {
            writeln!(
                out,
                "{name}: {}",
                result.as_ref().map_or_else(|error| format!("FAILED: {error}"), |()| "taken".into())
            )?;
        }
    }
    Ok(if results.iter().all(|(_, result)| result.is_ok()) { Exit::Good } else { Exit::Failed })
}

async fn send(config: &Config, arguments: &TestArguments) -> Vec<(&'static str, Result<(), String>)> {
    let words = |error| format!("{:#}", anyhow::Error::new(error));
    let test = Notification {
        status: Status::Test,
        key: Key { alert: "ParlantTest".to_owned(), severity: arguments.severity, labels: Vec::new() },
        title: "This is a test".to_owned(),
        message: "Somebody tries whether alerts arrive here: parlant-ops alerts test.".to_owned(),
        fields: config.fields.clone(),
        runbook_url: None,
        at: Utc::now(),
    };
    let mut results = Vec::new();
    for notifier in config.notifiers() {
        let sent = send_within(PATIENCE, &*notifier, &test).await;
        results.push((notifier.name(), sent.map_err(words)));
    }
    if let Some(heartbeat) = &config.heartbeat {
        results.push(("heartbeat", heartbeat.beat().await.map_err(words)));
    }
    results
}
