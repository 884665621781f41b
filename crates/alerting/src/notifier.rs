use std::pin::Pin;

use crate::{Notification, SendError};

/// A way to reach people.
///
/// [`Slack`](crate::Slack) and [`Webhook`](crate::Webhook) are two; a service brings its own as an `impl` of this.
pub trait Notifier: Send + Sync + 'static {
    /// What it is called in the label `notifier` and in the state file: snake case, and nobody else's.
    fn name(&self) -> &'static str;

    /// Sends the notification, once, in bounded time. It is never called while an earlier call has not ended, and again
    /// with the same notification when that failed for now or nobody knows how it ended.
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a>;
}

/// A notification under way. [`SendError`] tells whether to try again, and when.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;
