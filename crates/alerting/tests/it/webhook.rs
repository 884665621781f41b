//! What a webhook for JSON is sent, and what can be configured.

use std::time::Duration;

use parlant_alerting::{Config, Heartbeat, Notification, Notifier as _, Severity, Status, VARIABLES, Webhook};
use parlant_settings::Settings;
use serde_json::json;

use crate::receiver::{Answer, Receiver, SECRET};
use crate::slack::of;

#[tokio::test]
async fn the_body_is_documented_and_the_same_at_each_try() {
    let receiver = Receiver::start([Answer::Head("503 Unavailable"), crate::receiver::OK]).await;
    let webhook = Webhook::new(receiver.url()).unwrap();
    let mut notification = of(Severity::Critical);
    notification.key.labels = vec![("directory".to_owned(), "/backups".to_owned())];
    assert!(!webhook.send(&notification).await.unwrap_err().is_permanent());
    webhook.send(&notification).await.unwrap();
    let bodies: Vec<_> = receiver.heard().into_iter().map(|heard| heard.body).collect();
    let expected = json!({
        "version": 1,
        "id": notification.id(),
        "status": "firing",
        "alert": "ParlantBackupTooOld",
        "severity": "critical",
        "labels": {"directory": "/backups"},
        "title": "Backup failed",
        "message": "pg_dump ended with exit code 1",
        "fields": {
            "failed_checks": "database, disk_space",
            "error": "connection to server at db.internal failed: timeout",
        },
        "runbook_url": "https://docs.sim.com/runbooks/parlant-backup-too-old",
        "at": "2026-11-23T17:31:20.123Z",
    });
    assert_eq!(bodies, [expected.clone(), expected]);
    assert_eq!(notification.id().len(), 32);
    let others = [Status::StillFiring, Status::Resolved, Status::Test];
    assert!(
        others.iter().all(|status| Notification { status: *status, ..notification.clone() }.id() != notification.id())
    );
}

#[test]
fn every_setting_has_its_default_and_is_read() {
    let mut settings = Settings::from_pairs::<&str, &str>([]);
    let config = Config::from_settings(&mut settings);
    settings.finish().unwrap();
    assert_eq!((config.interval, config.repeat_interval), (Duration::from_secs(30), Duration::from_hours(4)));
    assert!(config.notifiers().is_empty() && config.heartbeat.is_none() && config.state_dir.is_none());
    let url = format!("https://example.org/{SECRET}");
    let mut settings = Settings::from_pairs([
        ("ALERT_WEBHOOK_URL", url.as_str()),
        ("ALERT_JSON_WEBHOOK_URL", &url),
        ("HEARTBEAT_URL", &url),
        ("ALERT_INTERVAL", "1m"),
        ("ALERT_REPEAT_INTERVAL", "0"),
        ("ALERT_STATE_DIR", "/var/lib/parlant/alerts"),
    ]);
    let config = Config::from_settings(&mut settings);
    let names: Vec<_> = config.notifiers().iter().map(|notifier| notifier.name()).collect();
    assert_eq!(names, ["slack", "webhook"]);
    assert_eq!((config.interval, config.repeat_interval), (Duration::from_mins(1), Duration::ZERO));
    assert!(config.heartbeat.is_some() && config.state_dir.is_some_and(|dir| dir.ends_with("alerts")));
    let shown: Vec<_> = VARIABLES.iter().map(|variable| settings.effective(variable)).collect();
    let shown = format!("{shown:?}");
    assert!(!shown.contains(SECRET), "{shown}");
    settings.finish().unwrap();
}

#[test]
fn what_cannot_be_used_is_named_and_not_shown() {
    let url = format!("http://example.org/{SECRET}");
    let names = ["SLACK_WEBHOOK_URL", "ALERT_JSON_WEBHOOK_URL", "HEARTBEAT_URL"];
    let pairs = names.map(|name| (name, url.as_str())).into_iter().chain([("ALERT_INTERVAL", "10ms")]);
    let mut settings = Settings::from_pairs(pairs);
    let config = Config::from_settings(&mut settings);
    let shown = format!("{config:?} {}", settings.finish().unwrap_err());
    assert!(names.iter().all(|name| shown.contains(&format!("{name}: must be an https:// URL"))), "{shown}");
    assert!(shown.contains("ALERT_INTERVAL: must be 1 second or more") && !shown.contains(SECRET), "{shown}");
    let unreachable = Heartbeat::new(format!("http://127.0.0.1:1/{SECRET}").into()).unwrap();
    assert!(!format!("{unreachable:?}").contains(SECRET));
}
