use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use actix_ws::{CloseCode, CloseReason, Closed, Message as Frame, MessageStream, ProtocolError, Session};
use parlant_auth_bridge::{Identity, Permission};
use parlant_conversations::{Class, Live, Notice, Signal, What};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::Instrument as _;
use utoipa::IntoParams;

use super::feed::{Ending, Feed, Wake, count};
use crate::cors::Origins;
use crate::extract::{FromCaller, Query};
use crate::server::WRITE_TIMEOUT;
use crate::{ApiError, Endpoint, State};

const KIND: &str = "websocket";
/// Bytes of a client's frame at most: it has nothing to say but ping, pong and goodbye.
const FRAME_LIMIT: usize = 1024;
/// How long the last word may take.
const GOODBYE: Duration = Duration::from_secs(1);

pub(super) fn mount(config: &mut ServiceConfig) {
    count(KIND);
    Endpoint::new("/api/v1/agents/ws")
        .streaming()
        .on(Method::GET, StatusCode::SWITCHING_PROTOCOLS, connect)
        .mount(config);
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Options {
    /// One workspace; unless given, all of the caller's.
    #[param(example = "00000000-0000-4000-8000-00000000000a")]
    workspace_id: Option<String>,
}

/// Is told what happens in workspaces
///
/// A WebSocket of version 13. Each text frame is a JSON object whose `type` is `session:started`, `session:ended`,
/// `message:new` (with `message`), `agent:status` (with `status`) or `events:missed` (read again what is shown); all but the
/// last have `workspace_id`, `session_id` and `agent_id`. The caller is told about its own sessions, and about everybody's
/// where it is admin. Clients send nothing.
#[utoipa::path(
    get, path = "/api/v1/agents/ws", operation_id = "workspace_events", tag = "Conversations", params(Options),
    responses((status = 101, description = "The WebSocket is open"), (status = 403))
)]
async fn connect(
    state: Data<State>,
    origins: Data<Origins>,
    FromCaller(caller, (request, Query(options), payload)): FromCaller<(HttpRequest, Query<Options>, Payload)>,
) -> Result<HttpResponse, ApiError> {
    // A browser sends its cookies with the handshake whatever page asks, and shows that page the answers.
    if !origins.admit(&request) {
        return Err(ApiError::OriginRefused);
    }
    let workspace_id = options.workspace_id;
    caller.reading(workspace_id.as_deref())?;
    if state.readiness.is_draining() {
        return Err(ApiError::Unavailable("the server stops".into()));
    }
    let (response, session, frames) = actix_ws::handle(&request, payload)
        .map_err(|_| ApiError::field("upgrade", "must be a WebSocket handshake of version 13"))?;
    let live = state.conversations.live().clone();
    let feed = Feed::open(&state, &request, KIND, live.workspaces([])).await?;
    let mut socket = Socket { live, feed, workspace_id, session, subject: None, answered: true };
    socket.listen();
    actix_web::rt::spawn(socket.run(frames.max_frame_size(FRAME_LIMIT)).in_current_span());
    Ok(response)
}

/// Whether the caller may know: what happens in its own sessions, and everything where it is an administrator.
fn may_know(identity: &Identity, notice: &Notice) -> bool {
    match identity.permission(&notice.workspace_id) {
        Some(Permission::Admin) => true,
        Some(Permission::Write | Permission::Read) => notice.user_id == identity.user.id,
        None => false,
    }
}

/// What a client is told that something happened.
fn event(kind: &str, notice: &Notice) -> Value {
    let Notice { workspace_id, session_id, agent_id, .. } = notice;
    json!({ "type": kind, "workspace_id": workspace_id, "session_id": session_id, "agent_id": agent_id })
}

/// What a client is told when anything may have happened: what it shows should be read again.
fn missed() -> Value {
    json!({ "type": "events:missed" })
}

/// A connection on which one client is told what happens.
struct Socket {
    live: Live,
    feed: Feed,
    workspace_id: Option<String>,
    session: Session,
    /// What is being read.
    subject: Option<Arc<Notice>>,
    /// Whether the last ping was.
    answered: bool,
}

/// What goes on; or not, with a last word if anybody is there to hear it.
type Goes = Result<(), Option<Ending>>;

impl Socket {
    async fn run(mut self, mut frames: MessageStream) {
        let last_word = loop {
            let goes = tokio::select! {
                wake = self.feed.next() => self.wake(wake).await,
                frame = frames.recv() => self.frame(frame).await,
            };
            if let Err(last_word) = goes {
                break last_word;
            }
        };
        if let Some(Ending { reason, code }) = last_word {
            let reason = CloseReason { code, description: Some(reason.to_owned()) };
            let _ = timeout(GOODBYE, self.session.close(Some(reason))).await;
        }
    }

    /// To all workspaces that the caller may enter, or to the one that was named.
    fn listen(&mut self) {
        let open = self.feed.identity.workspaces.iter().map(|workspace| &workspace.id);
        let wanted = open.filter(|id| self.workspace_id.as_ref().is_none_or(|wanted| wanted == *id));
        self.feed.subscription = self.live.workspaces(wanted.cloned());
    }

    async fn wake(&mut self, wake: Wake) -> Goes {
        match wake {
            Wake::Signal(Signal::Notice(notice)) if !may_know(&self.feed.identity, &notice) => Ok(()),
            Wake::Signal(Signal::Notice(notice)) => match notice.what {
                What::Message { offset } => {
                    self.feed.read(notice.session_id, u32::try_from(offset).unwrap_or_default(), 1);
                    self.subject = Some(notice);
                    Ok(())
                }
                What::Status(status) => {
                    let mut event = event("agent:status", &notice);
                    event["status"] = json!(status);
                    self.send(&event).await
                }
                What::SessionStarted => self.send(&event("session:started", &notice)).await,
                What::SessionEnded => self.send(&event("session:ended", &notice)).await,
            },
            Wake::Read(Ok(page)) => match self.subject.take().zip(page.messages.first()) {
                Some((notice, message)) => {
                    let mut event = event("message:new", &notice);
                    event["message"] = json!(message);
                    self.send(&event).await
                }
                None => Ok(()),
            },
            Wake::Read(Err(error)) if error.class() == Class::NotFound => Ok(()),
            Wake::Read(Err(_)) | Wake::Signal(Signal::Missed) => self.send(&missed()).await,
            Wake::Changed => {
                if self.workspace_id.as_ref().is_some_and(|id| self.feed.identity.workspace(id).is_none()) {
                    return Err(Some(Ending::REVOKED));
                }
                self.listen();
                // What waited to be told went with the old ear.
                self.send(&missed()).await
            }
            Wake::Heartbeat if self.answered => {
                self.answered = false;
                timely(&self.feed, self.session.ping(b"")).await
            }
            Wake::Heartbeat => {
                self.feed.too_slow();
                Err(None)
            }
            Wake::End(ending) => Err(Some(ending)),
        }
    }

    async fn frame(&mut self, frame: Option<Result<Frame, ProtocolError>>) -> Goes {
        let (code, reason) = match frame {
            Some(Ok(Frame::Ping(bytes))) => return timely(&self.feed, self.session.pong(&bytes)).await,
            Some(Ok(Frame::Pong(_))) => {
                self.answered = true;
                return Ok(());
            }
            Some(Ok(Frame::Nop)) => return Ok(()),
            Some(Err(ProtocolError::Io(_))) | None => return Err(None),
            Some(Ok(Frame::Close(_))) => (CloseCode::Normal, "goodbye"),
            Some(Ok(Frame::Text(_) | Frame::Binary(_) | Frame::Continuation(_))) => {
                (CloseCode::Unsupported, "nothing is expected")
            }
            Some(Err(ProtocolError::Overflow)) => (CloseCode::Size, "too large"),
            Some(Err(_)) => (CloseCode::Protocol, "not a frame"),
        };
        Err(Some(Ending { reason, code }))
    }

    async fn send(&mut self, event: &Value) -> Goes {
        timely(&self.feed, self.session.text(event.to_string())).await
    }
}

/// Bounds the time for which a client may let the buffers be full, before the kernel does.
async fn timely(feed: &Feed, sent: impl Future<Output = Result<(), Closed>>) -> Goes {
    match timeout(WRITE_TIMEOUT / 2, sent).await {
        Ok(sent) => sent.map_err(|Closed| None),
        Err(_) => {
            feed.too_slow();
            Err(None)
        }
    }
}
