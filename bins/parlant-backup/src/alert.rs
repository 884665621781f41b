use std::error::Error;
use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;
use parlant_alerting::{Key, Notification, RUNBOOKS, Severity, Status, send_within};

use crate::{Context, Exit};

/// How long people may be out of reach before the run ends without having told them.
const LIMIT: Duration = Duration::from_mins(1);

/// Tells everybody who is configured that a run did not go well. That somebody cannot be told is only logged.
pub(crate) async fn send(context: &Context<'_>, exit: Exit, reason: &str) {
    let (severity, title, alert, page) = if exit == Exit::Doubtful {
        let title = "A backup was made, but not everything went well";
        (Severity::Warning, title, "ParlantBackupUnverified", "parlant-backup-unverified")
    } else {
        (Severity::Critical, "The backup failed", "ParlantBackupTooOld", "parlant-backup-too-old")
    };
    let notification = Notification {
        status: Status::Firing,
        key: Key { alert: alert.to_owned(), severity, labels: Vec::new() },
        title: title.to_owned(),
        message: reason.to_owned(),
        fields: vec![("directory".to_owned(), context.config.dir.display().to_string())],
        runbook_url: Some(RUNBOOKS.replace("{page}", page)),
        at: Utc::now(),
    };
    let told = context.alerting.notifiers().into_iter().map(|notifier| {
        let notification = &notification;
        async move {
            if let Err(error) = send_within(LIMIT, &*notifier, notification).await {
                tracing::error!(error = &error as &dyn Error, "Not told of this: {}", notifier.name());
            }
        }
    });
    join_all(told).await;
}
