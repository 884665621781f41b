use std::time::Duration;

use chrono::Utc;
use parlant_alerting::{Notification, RUNBOOKS, Severity, Status};
use tokio::time::sleep;

use crate::{Context, Exit};

const TRIES: u32 = 3;
/// Between two tries, unless Slack asks for more; for a minute at most.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_LIMIT: Duration = Duration::from_mins(1);

/// Tells Slack, if it is configured, that a run did not go well. That it cannot be told is only logged.
pub(crate) async fn send(context: &Context<'_>, exit: Exit, reason: &str) {
    let Some(slack) = &context.alerting.slack else { return };
    let (severity, title, page) = if exit == Exit::Doubtful {
        (Severity::Warning, "A backup was made, but not everything went well", "parlant-backup-unverified")
    } else {
        (Severity::Critical, "The backup failed", "parlant-backup-too-old")
    };
    let notification = Notification {
        status: Status::Firing,
        title: title.to_owned(),
        severity,
        message: reason.to_owned(),
        fields: vec![("directory".to_owned(), context.config.dir.display().to_string())],
        runbook_url: Some(RUNBOOKS.replace("{page}", page)),
        at: Utc::now(),
    };
    for tries_left in (0..TRIES).rev() {
        match slack.send(&notification).await {
            Ok(()) => return,
            Err(error) if tries_left == 0 || error.is_permanent() => {
                tracing::error!("Slack was not told: {error}");
                return;
            }
            Err(error) => sleep(error.retry_after().unwrap_or(PAUSE).min(PAUSE_LIMIT)).await,
        }
    }
}
