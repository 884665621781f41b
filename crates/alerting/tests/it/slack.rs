//! What Slack is sent, and what its answers mean.

use std::error::Error;
use std::time::Duration;

use chrono::DateTime;
use parlant_alerting::{Config, Key, Notification, Notifier as _, SendError, Severity, Slack, Status};
use parlant_settings::{Secret, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PATH: &str = "/services/T0/B0/hunter2";

pub(crate) fn of(severity: Severity) -> Notification {
    Notification {
        status: Status::Firing,
        key: Key { alert: "ParlantBackupTooOld".to_owned(), severity, labels: Vec::new() },
        title: "Backup failed".to_owned(),
        message: "pg_dump ended with exit code 1".to_owned(),
        fields: vec![
            ("failed_checks".to_owned(), "database, disk_space".to_owned()),
            ("error".to_owned(), "connection to server at db.internal failed: timeout".to_owned()),
        ],
        runbook_url: Some("https://docs.sim.com/runbooks/parlant-backup-too-old".to_owned()),
        at: DateTime::from_timestamp(1_795_455_080, 123_000_000).unwrap(),
    }
}

fn notification() -> Notification {
    of(Severity::Critical)
}

/// A webhook that answers each request with the same bytes, and gives back what it read of the first.
async fn webhook(answer: &'static str) -> (Slack, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = request(&mut socket).await;
        socket.write_all(answer.as_bytes()).await.unwrap();
        request
    });
    (Slack::new(Secret::from(url)).unwrap(), served)
}

/// One whole request: head and as much body as it announces.
async fn request(socket: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let length = socket.read(&mut buffer).await.unwrap();
        text += std::str::from_utf8(&buffer[..length]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if length == 0 || body.len() >= announced.parse().unwrap() {
            return text;
        }
    }
}

async fn refusal(answer: &'static str) -> SendError {
    let (slack, served) = webhook(answer).await;
    let error = slack.send(&notification()).await.unwrap_err();
    served.await.unwrap();
    error
}

/// Everything that an error or a client could show to anybody.
fn shown(slack: &Slack, error: &SendError) -> String {
    let mut text = format!("{slack:?} {error:?} {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.extend([format!(" {cause:?}"), format!(" {cause}")]);
        source = cause.source();
    }
    text
}

#[test]
fn a_notification_becomes_one_attachment() {
    let expected = json!({"attachments": [{
        "fallback": "Backup failed: pg_dump ended with exit code 1",
        "color": "danger",
        "title": "Backup failed",
        "title_link": "https://docs.sim.com/runbooks/parlant-backup-too-old",
        "text": "pg_dump ended with exit code 1",
        "fields": [
            {"title": "Failed Checks", "value": "database, disk_space", "short": true},
            {"title": "Error", "value": "connection to server at db.internal failed: timeout", "short": false},
        ],
        "footer": "Parlant Integration Bridge",
        "ts": 1_795_455_080,
        "mrkdwn_in": [],
    }]});
    assert_eq!(Slack::payload(&notification()), expected);
}

#[test]
fn a_severity_has_its_colour() {
    for (severity, color) in [(Severity::Critical, "danger"), (Severity::Warning, "warning"), (Severity::Info, "good")]
    {
        assert_eq!(Slack::payload(&of(severity))["attachments"][0]["color"], color);
        let resolved = Notification { status: Status::Resolved, ..of(severity) };
        assert_eq!(Slack::payload(&resolved)["attachments"][0]["color"], "good");
    }
}

#[test]
fn no_text_calls_people_or_makes_links() {
    let hostile = "<!channel> & <https://evil.example|click> @here";
    let tame = "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; @here";
    let payload = Slack::payload(&Notification {
        title: hostile.to_owned(),
        message: hostile.to_owned(),
        fields: vec![(hostile.to_owned(), hostile.to_owned())],
        ..notification()
    });
    let attachment = &payload["attachments"][0];
    assert_eq!(attachment["title"], tame);
    assert_eq!(attachment["text"], tame);
    assert_eq!(attachment["fields"][0]["value"], tame);
    assert!(!payload.to_string().contains(['<', '>']), "{payload}");
    assert!(attachment.get("parse").is_none() && payload.get("link_names").is_none());
}

#[test]
fn what_is_too_long_is_cut_between_characters_and_never_within_an_entity() {
    let payload = Slack::payload(&Notification {
        title: "é<".repeat(1000),
        message: "&".repeat(10_000),
        fields: vec![("x".repeat(5000), "<".repeat(5000)); 500],
        ..notification()
    });
    let attachment = &payload["attachments"][0];
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    assert!((1000..=1024).contains(&length(&attachment["title"])));
    assert!((1000..=1024).contains(&length(&attachment["fallback"])));
    assert!((3990..=4000).contains(&length(&attachment["text"])));
    assert!(attachment["text"].as_str().unwrap().ends_with("&amp;…"));
    assert!(
        attachment["title"].as_str().unwrap().ends_with("é…")
            || attachment["title"].as_str().unwrap().ends_with("&lt;…")
    );
    let fields = attachment["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 20);
    assert!(fields.iter().all(|field| length(&field["title"]) <= 1000 && length(&field["value"]) <= 1000));
    assert!(fields[0]["value"].as_str().unwrap().ends_with("&lt;…"));
}

#[tokio::test]
async fn a_message_that_slack_takes_is_sent_once_to_the_webhook() {
    let (slack, served) = webhook("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    slack.send(&notification()).await.unwrap();
    let request = served.await.unwrap();
    assert!(request.starts_with(&format!("POST {PATH} HTTP/1.1\r\n")), "{request}");
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), Slack::payload(&notification()));
}

#[tokio::test]
async fn what_slack_refuses_for_good_is_not_worth_another_try() {
    for (answer, words) in [
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 15\r\n\r\ninvalid_payload", "status 400, invalid_payload"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 17\r\n\r\naction_prohibited", "status 403, action_prohibited"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 11\r\n\r\nno_service\n", "status 404, no_service"),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", "status 410"),
        // A proxy's page, and a redirect: neither is followed, neither is repeated.
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 34\r\n\r\n<p>/services/T0/B0/hunter2: no</p>", "status 403"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "status 302"),
    ] {
        let error = refusal(answer).await;
        assert!(error.is_permanent(), "{answer}");
        assert_eq!(error.to_string(), format!("the message is refused: {words}"), "{answer}");
    }
}

#[tokio::test]
async fn what_may_work_later_says_when() {
    for (answer, wait) in [
        ("HTTP/1.1 429 Too Many Requests\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n", Some(30)),
        ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", None),
        ("HTTP/1.1 503 Unavailable\r\nretry-after: soon\r\ncontent-length: 0\r\n\r\n", None),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", None),
        ("HTTP/1.1 408 Too Slow\r\ncontent-length: 0\r\n\r\n", None),
        // It closes in the middle.
        ("HTTP/1.1 200", None),
        ("", None),
    ] {
        let error = refusal(answer).await;
        assert!(!error.is_permanent(), "{answer}: {error:?}");
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_hangs_is_given_up_in_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    let slack = Slack::new(Secret::from(url)).unwrap();
    let started = Instant::now();
    let error = slack.send(&notification()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
    let shown = shown(&slack, &error);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn nothing_shows_the_url() {
    // Nobody listens on port 1.
    let slack = Slack::new(Secret::from(format!("http://127.0.0.1:1{PATH}"))).unwrap();
    let error = slack.send(&notification()).await.unwrap_err();
    for shown in [
        shown(&slack, &error),
        shown(&slack, &refusal("HTTP/1.1 403 No\r\ncontent-length: 23\r\n\r\n/services/T0/B0/hunter2").await),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_webhook_that_would_travel_in_the_clear_is_a_problem_that_does_not_show_it() {
    for bad in ["http://hooks.slack.com/services/hunter2", "hunter2", "ftp://hunter2/", "http://localhost.evil/hunter2"]
    {
        let mut settings = Settings::from_pairs([("ALERT_WEBHOOK_URL", bad)]);
        let config = Config::from_settings(&mut settings);
        let shown = format!("{config:?} {}", settings.finish().unwrap_err());
        assert!(shown.contains("SLACK_WEBHOOK_URL: must be an https:// URL"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let mut settings = Settings::from_pairs([("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/x")]);
    assert!(Config::from_settings(&mut settings).slack.is_some());
    settings.finish().unwrap();
}
