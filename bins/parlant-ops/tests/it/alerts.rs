//! `parlant-ops alerts`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use parlant_alerting::{Alerting, Config, Selector, SendError, Severity, Source};
use parlant_alerting::{Notification, Notifier, Rule, Sending};
use parlant_metrics::Snapshot;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{run, run_with};

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

const SECRET: &str = "hunter2";

/// A receiver that gives one answer. Gives its address, with a secret in it, and later what it was sent.
async fn receiver(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        // A request without a body is whole with its head.
        let end = |request: &[u8]| if request.starts_with(b"GET") { &b"\r\n\r\n"[..] } else { b"}" };
        while !request.ends_with(end(&request)) {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the client went away");
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, received)
}

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const GONE: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\nconnection: close\r\n\r\nno_service";

#[tokio::test]
async fn a_test_says_who_took_it_and_who_did_not_without_telling_the_addresses() {
    let ((slack, to_slack), (webhook, to_webhook)) = (receiver(GOOD).await, receiver(GONE).await);
    let (heartbeat, beaten) = receiver(GOOD).await;
    let output = spawn_blocking(move || {
        let environment = [
            ("SLACK_WEBHOOK_URL", slack.as_str()),
            ("ALERT_JSON_WEBHOOK_URL", webhook.as_str()),
            ("HEARTBEAT_URL", heartbeat.as_str()),
        ];
        run_with(&["alerts", "test", "--severity", "critical"], &environment)
    });
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(1), "one of them did not take it");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("slack: taken\n") && text.contains("heartbeat: taken\n"), "{text}");
    assert!(text.contains("FAILED") && text.contains("404"), "{text}");
    assert!(!text.contains(SECRET) && !String::from_utf8(output.stderr).unwrap().contains(SECRET), "{text}");
    let sent = to_slack.await.unwrap();
    assert!(sent.contains("This is a test") && sent.contains(r#""color":"danger""#), "{sent}");
    assert!(to_webhook.await.unwrap().contains(r#""status":"test""#));
    assert!(beaten.await.unwrap().starts_with("GET /hunter2 "));
}

#[tokio::test]
async fn a_test_that_everybody_took_is_good_and_one_for_nobody_is_not() {
    let (slack, _received) = receiver(GOOD).await;
    let output =
        spawn_blocking(move || run_with(&["alerts", "test", "--json"], &[("SLACK_WEBHOOK_URL", slack.as_str())]));
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results, json!([{ "receiver": "slack", "taken": true, "error": null }]));

    let output = run(&["alerts", "test"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("SLACK_WEBHOOK_URL"));
    let output = run_with(&["alerts", "test"], &[("SLACK_WEBHOOK_URL", "http://hooks.example.com/hunter2")]);
    assert_eq!(output.status.code(), Some(78));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("SLACK_WEBHOOK_URL: must be an https:// URL") && !complaint.contains(SECRET),
        "{complaint}"
    );
}

/// Never takes anything.
struct Deaf;

impl Notifier for Deaf {
    fn name(&self) -> &'static str {
        "deaf"
    }

    fn send<'a>(&'a self, _: &'a Notification) -> Sending<'a> {
        Box::pin(async { Err(SendError::Later { reason: "status 503".to_owned(), after: None }) })
    }
}

#[tokio::test]
async fn the_list_shows_what_fires_and_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap().to_owned();
    let list = |more: Option<&str>| {
        let arguments: Vec<_> = ["alerts", "list"].into_iter().chain(more).collect();
        run_with(&arguments, &[("ALERT_STATE_DIR", &dir)])
    };
    assert_eq!(run(&["alerts", "list"]).status.code(), Some(1), "no directory is known");
    assert_eq!(list(None).status.code(), Some(1), "there is none yet");

    let queue = Rule {
        name: "QueueLong",
        severity: Severity::Warning,
        expression: Selector::new("queue_length").last().above(10.0),
        description: "{count} jobs wait.",
        summary: "The queue is long",
        ..parlant_alerting::rules().swap_remove(0)
    };
    let queue = Rule { hold: Duration::ZERO, ..queue };
    let config = Config { state_dir: Some(dir.clone().into()), ..Config::default() };
    let alerting = Alerting::new(vec![queue], vec![std::sync::Arc::new(Deaf)], config);
    let numbers = || vec![(Source::Server, Snapshot::parse("queue_length 12"))];
    let shown = async {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            let output = list(None);
            let text = String::from_utf8(output.stdout).unwrap();
            if text.contains("to send") {
                break text;
            }
            assert!(tokio::time::Instant::now() < deadline, "{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(alerting.run(numbers, async {
        let _ = stopped.await;
    }));
    let text = shown.await;
    drop(stop);
    running.await.unwrap();
    assert!(text.contains("QueueLong warning {}: firing since 20"), "{text}");
    assert!(text.contains("\n    12 jobs wait.\n") && text.contains("deaf: 1 to send, the oldest of 20"), "{text}");
    let state: Value = serde_json::from_slice(&list(Some("--json")).stdout).unwrap();
    assert_eq!(state["alerts"][0][0]["alert"], "QueueLong", "{state}");
    assert_eq!(state["queues"]["deaf"][0]["status"], "firing", "{state}");
}
