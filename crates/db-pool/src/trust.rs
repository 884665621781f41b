//! Whether an idle connection can be handed out as it is.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::Client;

/// How long a live server may take to answer a ping.
const PING: Duration = Duration::from_secs(1);

/// What was learned about the server, to judge connections that were not used since.
pub(crate) struct Trust {
    ping_after: Duration,
    doubts: Mutex<Doubts>,
}

#[derive(Clone, Copy, Default)]
struct Doubts {
    /// A statement was not answered: ping what was used before.
    suspected: Option<Instant>,
    /// A ping was not answered, or the server is a standby now: give up what was used before.
    condemned: Option<Instant>,
}

impl Trust {
    pub(crate) fn new(ping_after: Duration) -> Self {
        Self { ping_after, doubts: Mutex::default() }
    }

    pub(crate) fn suspect(&self) {
        self.doubts().suspected = Some(Instant::now());
    }

    pub(crate) fn condemn(&self) {
        self.doubts().condemned = Some(Instant::now());
    }

    /// Whether a connection that was last used at `used` is fit for use, asking the server if in doubt.
    pub(crate) async fn allows(&self, client: &Client, used: Instant) -> bool {
        if client.is_closed() {
            return false;
        }
        let doubts = *self.doubts();
        if doubts.condemned.is_some_and(|time| used < time) {
            return false;
        }
        if used.elapsed() < self.ping_after && doubts.suspected.is_none_or(|time| used > time) {
            return true;
        }
        let answer = timeout(PING, client.check_connection()).await;
        if answer.is_err() {
            self.condemn();
        }
        matches!(answer, Ok(Ok(())))
    }

    fn doubts(&self) -> std::sync::MutexGuard<'_, Doubts> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
