use std::io;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// Resolves, to what it was, when somebody or a time limit wants the program to end. A signal that comes before
/// anybody waits counts as well.
pub(crate) type Interruption = Shared<BoxFuture<'static, String>>;

pub(crate) fn interruption(limit: Option<Duration>) -> io::Result<Interruption> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let too_long = async move {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let all = async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT".to_owned(),
            _ = terminate.recv() => "SIGTERM".to_owned(),
            _ = hangup.recv() => "SIGHUP".to_owned(),
            () = too_long => "its time limit".to_owned(),
        }
    };
    Ok(all.boxed().shared())
}
