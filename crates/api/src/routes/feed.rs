//! What streams have in common: to whom they may tell what, until when, and what wakes them.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Data;
use actix_ws::CloseCode;
use futures_util::future::LocalBoxFuture;
use parlant_auth_bridge::actix::credential;
use parlant_auth_bridge::{Identity, Refusal, SessionWatch};
use parlant_conversations::{
    Actor, Admission, Error, ListMessages, MAX_STREAMS_PER_USER, Messages, Signal, Subscription,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use uuid::Uuid;

use crate::metrics::{live_streams, slow_readers};
use crate::{ApiError, State};

/// How often a stream shows that it is there, and looks whether it was told everything.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this time, so that one whose client only seems to be there does not last for ever.
const LIFETIME: Duration = Duration::from_hours(1);

/// One stream's ear.
pub(super) struct Feed {
    pub(super) identity: Arc<Identity>,
    pub(super) subscription: Subscription,
    state: Data<State>,
    kind: &'static str,
    watching: Watching,
    reading: Option<LocalBoxFuture<'static, Result<Messages, Error>>>,
    heartbeat: Interval,
    end: Instant,
    _admission: Admission,
}

/// Waits for a change, and gives the watch back to wait for the next.
type Watching = LocalBoxFuture<'static, (SessionWatch, Result<Arc<Identity>, Refusal>)>;

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
pub(super) struct Ending {
    pub(super) reason: &'static str,
    pub(super) code: CloseCode,
}

impl Ending {
    /// The server stops. Another one, or the next, goes on.
    const DRAINING: Self = Self { reason: "draining", code: CloseCode::Restart };
    /// The caller's session ended, or may no longer see what is streamed.
    pub(super) const REVOKED: Self = Self { reason: "revoked", code: CloseCode::Policy };
    /// Nobody could vouch for the caller's session for too long, or the server made a mistake.
    pub(super) const UNAVAILABLE: Self = Self { reason: "unavailable", code: CloseCode::Again };
    /// It lasted long enough; the client comes back.
    const RENEW: Self = Self { reason: "renew", code: CloseCode::Away };
}

impl Feed {
    /// What happened before the subscription is in the table.
    pub(super) async fn open(
        state: &Data<State>,
        request: &HttpRequest,
        kind: &'static str,
        subscription: Subscription,
    ) -> Result<Self, ApiError> {
        let credential = credential(request).ok_or(ApiError::AuthenticationRequired)?;
        let watch = state.auth.watch(credential).await.map_err(|refusal| match refusal {
            Refusal::Invalid(reason) => ApiError::InvalidToken(reason),
            Refusal::Unknown(cause) => cause.into(),
        })?;
        let identity = Arc::clone(watch.identity());
        let admission = state.conversations.live().admit(&identity.user.id);
        let admission = admission.ok_or(ApiError::LimitExceeded { limit: MAX_STREAMS_PER_USER.into() })?;
        let now = Instant::now();
        let mut heartbeat = interval_at(now + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        live_streams(kind).increment(1.0);
        Ok(Self {
            identity,
            subscription,
            state: state.clone(),
            kind,
            watching: watching(watch),
            reading: None,
            heartbeat,
            end: now + LIFETIME,
            _admission: admission,
        })
    }

    /// Has messages read, as the caller may see them. Until they are, no signal wakes: one thing after the other.
    pub(super) fn read(&mut self, session_id: Uuid, offset: u32, limit: u32) {
        let (conversations, identity) = (self.state.conversations.clone(), Arc::clone(&self.identity));
        // Kept to its end: a read that is dropped takes its connection with it.
        self.reading = Some(Box::pin(async move {
            let list = ListMessages { offset, limit };
            conversations.follow(&Actor::from(&*identity), session_id, list).await
        }));
    }

    pub(super) const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Waits for what there is to do next. It may be dropped and called again.
    pub(super) async fn next(&mut self) -> Wake {
        let idle = self.reading.is_none();
        let read = async {
            match &mut self.reading {
                Some(reading) => reading.await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.state.readiness.drained() => Wake::End(Ending::DRAINING),
            (watch, changed) = &mut self.watching => match changed {
                Ok(identity) => {
                    self.identity = identity;
                    self.watching = watching(watch);
                    Wake::Changed
                }
                Err(Refusal::Invalid(_)) => Wake::End(Ending::REVOKED),
                Err(Refusal::Unknown(_)) => Wake::End(Ending::UNAVAILABLE),
            },
            read = read => {
                self.reading = None;
                Wake::Read(read)
            }
            signal = self.subscription.next(), if idle => Wake::Signal(signal),
            now = self.heartbeat.tick() => if now < self.end { Wake::Heartbeat } else { Wake::End(Ending::RENEW) },
        }
    }

    /// Counts a client that does not read what it is sent.
    pub(super) fn too_slow(&self) {
        slow_readers(self.kind).increment(1);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        live_streams(self.kind).decrement(1.0);
    }
}

fn watching(mut watch: SessionWatch) -> Watching {
    Box::pin(async move {
        let changed = watch.changed().await;
        (watch, changed)
    })
}

/// Has the series of a kind of stream begin at 0.
pub(super) fn count(kind: &'static str) {
    live_streams(kind).increment(0.0);
    slow_readers(kind).increment(0);
}
