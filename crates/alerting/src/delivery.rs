//! From the outbox to a notifier.

use std::error::Error;
use std::time::Duration;

use rand::random_range;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::outbox::Outbox;
use crate::{Notification, Notifier, SendError};

/// Between two messages of one notifier: Slack takes one a second.
const SPACING: Duration = Duration::from_secs(1);
/// The longest pause that nobody asked for.
const BACKOFF_LIMIT: Duration = Duration::from_mins(5);
/// The longest pause that is granted.
const RETRY_AFTER_LIMIT: Duration = Duration::from_mins(15);

/// When everything has to be over; none: not yet.
pub(crate) type Deadline = watch::Receiver<Option<Instant>>;

/// Sends what waits, in order, one message a second at most, until the deadline. Once there is one, it ends as soon as
/// nothing waits or something cannot be sent.
pub(crate) async fn deliver(notifier: &dyn Notifier, outbox: &Outbox, mut deadline: Deadline) {
    let name = notifier.name();
    let Some(metrics) = outbox.metrics(name) else { return };
    let mut changes = outbox.changes();
    let (mut last, mut pause, mut failures) = (Instant::now(), SPACING, 0);
    loop {
        let Some(message) = outbox.first(name).await else {
            select! {
                _ = changes.changed() => continue,
                _ = deadline.wait_for(Option::is_some) => return,
            }
        };
        select! {
            () = sleep_until(last + pause) => {}
            () = over(deadline.clone(), failures > 0) => return,
        }
        let result = select! {
            result = notifier.send(&message) => result,
            () = over(deadline.clone(), false) => return,
        };
        last = Instant::now();
        let alert = &message.key;
        match result {
            Err(error) if !error.is_permanent() => {
                metrics.failed.increment(1);
                failures += 1;
                pause = backoff(failures, error.retry_after());
                if failures == 1 {
                    let error = &error as &dyn Error;
                    tracing::warn!(notifier = name, %alert, error, "A message about an alert is sent again later");
                }
                continue;
            }
            Ok(()) => {
                metrics.sent.increment(1);
                if failures > 0 {
                    tracing::info!(notifier = name, failures, "Messages about alerts are taken again");
                }
            }
            Err(error) => {
                metrics.refused.increment(1);
                let (status, error) = (message.status.as_str(), &error as &dyn Error);
                tracing::error!(notifier = name, %alert, status, error, "A message about an alert is given up");
            }
        }
        (pause, failures) = (SPACING, 0);
        outbox.remove(name, &message).await;
    }
}

/// Waits for the deadline. Who fails does not wait for more than that there is one.
async fn over(mut deadline: Deadline, failing: bool) {
    let set = deadline.wait_for(Option::is_some).await.ok().and_then(|set| *set);
    if let Some(at) = set.filter(|_| !failing) {
        sleep_until(at).await;
    }
}

/// Sends one message for a program that has nothing else to do: what fails for now is tried again until `limit` is over.
///
/// # Errors
/// That of the last try.
pub async fn send_within(limit: Duration, notifier: &dyn Notifier, message: &Notification) -> Result<(), SendError> {
    let end = Instant::now() + limit;
    let mut failures = 0;
    loop {
        let result = notifier.send(message).await;
        let Err(error) = &result else { return result };
        failures += 1;
        let pause = backoff(failures, error.retry_after());
        if error.is_permanent() || Instant::now() + pause > end {
            return result;
        }
        sleep(pause).await;
    }
}

/// Twice as long after each failure, somewhere in the upper half of that, so that not everybody comes back at once; or
/// what the other side asks for.
fn backoff(failures: u32, asked: Option<Duration>) -> Duration {
    let longest = SPACING.saturating_mul(2_u32.saturating_pow(failures)).min(BACKOFF_LIMIT);
    random_range(longest / 2..=longest).max(asked.unwrap_or_default().min(RETRY_AFTER_LIMIT))
}
