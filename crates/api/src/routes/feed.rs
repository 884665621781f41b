//! What streams have in common: to whom they may tell what, until when, and what wakes them.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Data;
use futures_util::future::LocalBoxFuture;
use metrics::{Counter, Gauge};
use parlant_auth_bridge::{Identity, Refusal, SessionWatch};
use parlant_conversations::{
    Actor, Admission, Error, ListMessages, Live, MAX_STREAMS_PER_USER, Messages, Signal, Subscription,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use uuid::Uuid;

use crate::metrics::{LIVE_STREAMS, SLOW_READERS};
use crate::{ApiError, State};

/// How often a stream shows that it is there, and looks whether it was told everything.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this time, so that one whose client only seems to be there does not last for ever.
const LIFETIME: Duration = Duration::from_hours(1);

/// One stream's ear.
pub(super) struct Feed {
    state: Data<State>,
    identity: Arc<Identity>,
    /// Comes with the watch, to be asked again.
    watching: LocalBoxFuture<'static, (SessionWatch, Result<Arc<Identity>, Refusal>)>,
    subscription: Subscription,
    reading: Option<LocalBoxFuture<'static, Result<Messages, Error>>>,
    heartbeat: Interval,
    end: Instant,
    numbers: Numbers,
    _admission: Admission,
}

/// What there is to do for a stream.
pub(super) enum Wake {
    /// Something happened.
    Signal(Signal),
    /// What [`Feed::read`] asked for.
    Read(Result<Messages, Error>),
    /// The caller may do something else than before.
    Changed,
    /// It is time to show that the stream is there.
    Heartbeat,
    /// It is over.
    End(Ending),
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The server stops. Another one, or the next, goes on.
    Draining,
    /// The caller's session ended, or may no longer see what is streamed.
    Revoked,
    /// Nobody could vouch for the caller's session for too long, or the server made a mistake.
    Unavailable,
    /// It lasted long enough; the client comes back.
    Renew,
}

impl Ending {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Revoked => "revoked",
            Self::Unavailable => "unavailable",
            Self::Renew => "renew",
        }
    }
}

impl Feed {
    /// Begins to listen. What happens from here on will wake; what happened before is in the table.
    pub(super) async fn open(
        state: &Data<State>,
        request: &HttpRequest,
        numbers: Numbers,
        subscribe: impl FnOnce(&Live, &Identity) -> Subscription,
    ) -> Result<Self, ApiError> {
        let credential = parlant_auth_bridge::actix::credential(request).ok_or(ApiError::AuthenticationRequired)?;
        let watch = state.auth.watch(credential).await.map_err(|refusal| match refusal {
            Refusal::Invalid(reason) => ApiError::InvalidToken(reason),
            Refusal::Unknown(cause) => cause.into(),
        })?;
        let identity = Arc::clone(watch.identity());
        let live = state.conversations.live();
        let admission = live.admit(&identity.user.id);
        let admission = admission.ok_or(ApiError::LimitExceeded { limit: MAX_STREAMS_PER_USER.into() })?;
        let subscription = subscribe(live, &identity);
        let now = Instant::now();
        let mut heartbeat = interval_at(now + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        numbers.open.increment(1.0);
        Ok(Self {
            state: state.clone(),
            identity,
            watching: watching(watch),
            subscription,
            reading: None,
            heartbeat,
            end: now + LIFETIME,
            numbers,
            _admission: admission,
        })
    }

    /// Who is told.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Listens to something else from here on.
    pub(super) fn listen(&mut self, subscribe: impl FnOnce(&Live, &Identity) -> Subscription) {
        self.subscription = subscribe(self.state.conversations.live(), &self.identity);
    }

    /// Has messages read, as the caller may see them. Until they are, no signal wakes: one thing after the other.
    pub(super) fn read(&mut self, session_id: Uuid, list: ListMessages) {
        let (conversations, identity) = (self.state.conversations.clone(), Arc::clone(&self.identity));
        // Kept to its end: a read that is dropped takes its connection with it.
        self.reading =
            Some(Box::pin(async move { conversations.follow(&Actor::from(&*identity), session_id, list).await }));
    }

    pub(super) const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Waits for what there is to do next. It may be dropped and called again.
    pub(super) async fn next(&mut self) -> Wake {
        let Self { state, watching: watch, subscription, reading, heartbeat, .. } = self;
        let idle = reading.is_none();
        let read = async {
            match reading {
                Some(reading) => reading.await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = state.readiness.drained() => Wake::End(Ending::Draining),
            (watch, changed) = watch => match changed {
                Ok(identity) => {
                    self.identity = identity;
                    self.watching = watching(watch);
                    Wake::Changed
                }
                Err(Refusal::Invalid(_)) => Wake::End(Ending::Revoked),
                Err(Refusal::Unknown(_)) => Wake::End(Ending::Unavailable),
            },
            read = read => {
                self.reading = None;
                Wake::Read(read)
            }
            signal = subscription.next(), if idle => Wake::Signal(signal),
            now = heartbeat.tick() => if now < self.end { Wake::Heartbeat } else { Wake::End(Ending::Renew) },
        }
    }

    /// Counts a client that does not read what it is sent.
    pub(super) fn too_slow(&self) {
        self.numbers.slow.increment(1);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.numbers.open.decrement(1.0);
    }
}

fn watching(mut watch: SessionWatch) -> LocalBoxFuture<'static, (SessionWatch, Result<Arc<Identity>, Refusal>)> {
    Box::pin(async move {
        let changed = watch.changed().await;
        (watch, changed)
    })
}

/// The series of one kind of stream.
#[derive(Clone)]
pub(super) struct Numbers {
    open: Gauge,
    slow: Counter,
}

impl Numbers {
    pub(super) fn of(kind: &'static str) -> Self {
        metrics::describe_gauge!(LIVE_STREAMS, "Streams that are open.");
        metrics::describe_counter!(SLOW_READERS, "Streams cut because the client did not read.");
        Self {
            open: metrics::gauge!(LIVE_STREAMS, "kind" => kind),
            slow: metrics::counter!(SLOW_READERS, "kind" => kind),
        }
    }
}
