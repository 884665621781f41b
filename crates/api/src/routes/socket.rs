use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use actix_ws::{CloseCode, CloseReason, Closed, Message as Frame, MessageStream, ProtocolError, Session};
use parlant_auth_bridge::{Identity, Permission};
use parlant_conversations::{Class, ListMessages, Live, Message, Notice, Signal, Subscription, TurnStatus, What};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracing::Instrument as _;
use utoipa::IntoParams;
use uuid::Uuid;

use super::feed::{Ending, Feed, Numbers, Wake};
use crate::cors::Origins;
use crate::extract::{FromCaller, Query};
use crate::server::WRITE_TIMEOUT;
use crate::{ApiError, Endpoint, State};

/// Bytes of a client's frame at most: it has nothing to say but ping, pong and goodbye.
const FRAME_LIMIT: usize = 1024;
/// How long the last word may take.
const GOODBYE: Duration = Duration::from_secs(1);

pub(super) fn mount(config: &mut ServiceConfig) {
    config.app_data(Data::new(Open(Numbers::of("websocket"))));
    Endpoint::new("/api/v1/agents/ws")
        .streaming()
        .on(Method::GET, StatusCode::SWITCHING_PROTOCOLS, connect)
        .mount(config);
}

struct Open(Numbers);

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
    open: Data<Open>,
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
    let subscribe = |live: &Live, identity: &Identity| scope(live, identity, workspace_id.as_deref());
    let feed = Feed::open(&state, &request, open.0.clone(), subscribe).await?;
    let frames = frames.max_frame_size(FRAME_LIMIT);
    let socket = Socket { feed, workspace_id, session, subject: None, answered: true };
    actix_web::rt::spawn(socket.run(frames).in_current_span());
    Ok(response)
}

/// What a socket listens to.
fn scope(live: &Live, identity: &Identity, workspace_id: Option<&str>) -> Subscription {
    let open = identity.workspaces.iter().map(|workspace| workspace.id.as_str());
    let wanted = open.filter(|id| workspace_id.is_none_or(|wanted| wanted == *id));
    live.workspaces(wanted.map(str::to_owned))
}

/// Whether the caller may know: what happens in its own sessions, and everything where it is an administrator.
fn may_know(identity: &Identity, notice: &Notice) -> bool {
    match identity.permission(&notice.workspace_id) {
        Some(Permission::Admin) => true,
        Some(Permission::Write | Permission::Read) => notice.user_id == identity.user.id,
        None => false,
    }
}

/// A connection on which one client is told what happens.
struct Socket {
    feed: Feed,
    workspace_id: Option<String>,
    session: Session,
    /// What is being read.
    subject: Option<Arc<Notice>>,
    /// Whether the last ping was.
    answered: bool,
}

/// Why a socket has nothing more to say.
enum Over {
    /// With this as its last word.
    Farewell(CloseCode, &'static str),
    /// Nobody is there to hear it.
    Gone,
    /// What was said is not read.
    TooSlow,
}

impl From<Closed> for Over {
    fn from(_: Closed) -> Self {
        Self::Gone
    }
}

impl From<Ending> for Over {
    fn from(ending: Ending) -> Self {
        let code = match ending {
            Ending::Draining => CloseCode::Restart,
            Ending::Revoked => CloseCode::Policy,
            Ending::Unavailable => CloseCode::Again,
            Ending::Renew => CloseCode::Away,
        };
        Self::Farewell(code, ending.reason())
    }
}

impl Socket {
    async fn run(mut self, mut frames: MessageStream) {
        let over = loop {
            let done = tokio::select! {
                wake = self.feed.next() => self.wake(wake).await,
                frame = frames.recv() => self.frame(frame).await,
            };
            if let Err(over) = done {
                break over;
            }
        };
        match over {
            Over::Farewell(code, reason) => {
                let reason = CloseReason { code, description: Some(reason.to_owned()) };
                let _ = timeout(GOODBYE, self.session.close(Some(reason))).await;
            }
            Over::Gone => {}
            Over::TooSlow => self.feed.too_slow(),
        }
    }

    async fn wake(&mut self, wake: Wake) -> Result<(), Over> {
        match wake {
            Wake::Signal(Signal::Missed) => self.send(&Event::MISSED).await,
            Wake::Signal(Signal::Notice(notice)) if !may_know(self.feed.identity(), &notice) => Ok(()),
            Wake::Signal(Signal::Notice(notice)) => match notice.what {
                What::Message { offset } => {
                    let list = ListMessages { offset: u32::try_from(offset).unwrap_or_default(), limit: 1 };
                    self.feed.read(notice.session_id, list);
                    self.subject = Some(notice);
                    Ok(())
                }
                What::Status(status) => {
                    self.send(&Event { status: Some(status), ..Event::about("agent:status", &notice) }).await
                }
                What::SessionStarted => self.send(&Event::about("session:started", &notice)).await,
                What::SessionEnded => self.send(&Event::about("session:ended", &notice)).await,
            },
            Wake::Read(read) => {
                let subject = self.subject.take();
                match read {
                    Ok(page) => match subject.zip(page.messages.first()) {
                        Some((notice, message)) => {
                            self.send(&Event { message: Some(message), ..Event::about("message:new", &notice) }).await
                        }
                        None => Ok(()),
                    },
                    Err(error) if error.class() == Class::NotFound => Ok(()),
                    Err(error) => {
                        tracing::debug!(error = &error as &dyn std::error::Error, "A message was not read");
                        self.send(&Event::MISSED).await
                    }
                }
            }
            Wake::Changed => self.change().await,
            Wake::Heartbeat if !self.answered => Err(Over::TooSlow),
            Wake::Heartbeat => {
                self.answered = false;
                timely(self.session.ping(b"")).await
            }
            Wake::End(ending) => Err(ending.into()),
        }
    }

    /// The caller has other workspaces than before, or other rights in them.
    async fn change(&mut self) -> Result<(), Over> {
        let wanted = self.workspace_id.as_deref();
        if wanted.is_some_and(|id| self.feed.identity().workspace(id).is_none()) {
            return Err(Ending::Revoked.into());
        }
        let workspace_id = self.workspace_id.clone();
        self.feed.listen(|live, identity| scope(live, identity, workspace_id.as_deref()));
        // What waited to be told went with the old ear.
        self.send(&Event::MISSED).await
    }

    async fn frame(&mut self, frame: Option<Result<Frame, ProtocolError>>) -> Result<(), Over> {
        match frame {
            Some(Ok(Frame::Ping(bytes))) => timely(self.session.pong(&bytes)).await,
            Some(Ok(Frame::Pong(_))) => {
                self.answered = true;
                Ok(())
            }
            Some(Ok(Frame::Nop)) => Ok(()),
            Some(Ok(Frame::Close(_))) => Err(Over::Farewell(CloseCode::Normal, "")),
            Some(Ok(Frame::Text(_) | Frame::Binary(_) | Frame::Continuation(_))) => {
                Err(Over::Farewell(CloseCode::Unsupported, "nothing is expected"))
            }
            Some(Err(ProtocolError::Overflow)) => Err(Over::Farewell(CloseCode::Size, "too large")),
            Some(Err(ProtocolError::Io(_))) | None => Err(Over::Gone),
            Some(Err(_)) => Err(Over::Farewell(CloseCode::Protocol, "not a frame")),
        }
    }

    async fn send(&mut self, event: &Event<'_>) -> Result<(), Over> {
        // Made of strings and numbers.
        let text = serde_json::to_string(event).unwrap_or_default();
        timely(self.session.text(text)).await
    }
}

/// Bounds the time for which a client may let the buffers be full, before the kernel does.
async fn timely(sent: impl Future<Output = Result<(), Closed>>) -> Result<(), Over> {
    Ok(timeout(WRITE_TIMEOUT / 2, sent).await.map_err(|_| Over::TooSlow)??)
}

/// What a client is told.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    place: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<TurnStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a Message>,
}

/// Where it happened.
#[expect(clippy::struct_field_names, reason = "as clients read them")]
#[derive(Serialize)]
struct Place<'a> {
    workspace_id: &'a str,
    session_id: Uuid,
    agent_id: Uuid,
}

impl<'a> Event<'a> {
    /// Anything may have happened: lists and sessions that are shown should be read again.
    const MISSED: Event<'static> = Event { kind: "events:missed", place: None, status: None, message: None };

    fn about(kind: &'static str, notice: &'a Notice) -> Self {
        let place =
            Place { workspace_id: &notice.workspace_id, session_id: notice.session_id, agent_id: notice.agent_id };
        Self { kind, place: Some(place), status: None, message: None }
    }
}
