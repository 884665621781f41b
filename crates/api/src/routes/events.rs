use std::convert::Infallible;

use actix_web::http::header::{self, HeaderName};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::unfold;
use parlant_conversations::{Class, Error, ListMessages, Messages, Signal, What};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use utoipa::IntoParams;
use uuid::Uuid;

use super::feed::{Ending, Feed, Wake, count};
use crate::extract::{FromCaller, Query, SessionId};
use crate::openapi::schemas;
use crate::server::WRITE_TIMEOUT;
use crate::{ApiError, Endpoint, State};

const KIND: &str = "sse";
/// Messages that are read at a time: what a client that does not read holds in memory.
const PAGE: u32 = 20;

pub(super) fn mount(config: &mut ServiceConfig) {
    count(KIND);
    Endpoint::new("/api/v1/agents/sessions/{id}/events")
        .streaming()
        .on(Method::GET, StatusCode::OK, events)
        .mount(config);
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Options {
    /// The offset of the last message that the client has; `Last-Event-ID` wins over it.
    #[param(maximum = 4_294_967_295_u32)]
    after: Option<u32>,
}

/// Follows a session
///
/// Server-sent events. `message`: a message, its offset as `id`. `status`: how far the agent is with its answer, one of
/// `acknowledged`, `processing`, `typing`, `ready`, `failed`; told while it happens and kept nowhere. `session:ended`: no more
/// will come. `end`: why the stream ends, one of `draining`, `renew`, `unavailable` (come back) and `revoked`. A comment
/// every 15 seconds shows that the stream is there.
///
/// Who comes back with `Last-Event-ID` gets what is new since, or 204 when there will be nothing more.
#[utoipa::path(
    get, path = "/api/v1/agents/sessions/{id}/events", operation_id = "session_events", tag = "Conversations",
    params(
        ("id" = schemas::Id, Path, description = "The session"), Options,
        ("Last-Event-ID" = Option<u32>, Header, description = "The id of the last event that the client has",
            maximum = 4_294_967_295_u32),
    ),
    responses(
        (status = 200, body = schemas::ServerEvent, content_type = "text/event-stream"),
        (status = 204, description = "The session has ended, and the client has everything"),
    )
)]
async fn events(
    state: Data<State>,
    FromCaller(caller, (request, SessionId(session_id), Query(options))): FromCaller<(
        HttpRequest,
        SessionId,
        Query<Options>,
    )>,
) -> Result<HttpResponse, ApiError> {
    let resumed = last_event_id(&request)?;
    let cursor = resumed.or(options.after).map_or(0, |last| last.saturating_add(1));
    let feed = Feed::open(&state, &request, KIND, state.conversations.live().session(session_id)).await?;
    let list = ListMessages { offset: cursor, limit: PAGE };
    let page = state.conversations.follow(&caller.everywhere(), session_id, list).await;
    let page = page.map_err(|error| caller.failed(error))?;
    if resumed.is_some() && page.messages.is_empty() && page.ended {
        // Tells an `EventSource` that it need not come back.
        return Ok(HttpResponse::NoContent().finish());
    }
    let mut follower = Follower::new(feed, session_id, cursor);
    follower.take(&page);
    let body = unfold(follower, |mut follower| async { Some((Ok::<_, Infallible>(follower.next().await?), follower)) });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        // nginx would collect a page of it first.
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(body))
}

/// Where a client that comes back goes on.
fn last_event_id(request: &HttpRequest) -> Result<Option<u32>, ApiError> {
    const NAME: &str = "last-event-id";
    let Some(value) = request.headers().get(NAME) else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| ApiError::field(NAME, "must be the id of an event"))
}

/// A session on its way to one client, as `text/event-stream`.
struct Follower {
    feed: Feed,
    session_id: Uuid,
    /// The offset of the first message that the client has not been sent.
    cursor: u32,
    /// The table may have more than was sent.
    due: bool,
    ended: bool,
    out: Vec<u8>,
    /// Since when nobody has asked for more.
    idle_since: Option<Instant>,
}

impl Follower {
    fn new(feed: Feed, session_id: Uuid, cursor: u32) -> Self {
        // After a restart, not all come back at the same time.
        let retry = 1000 + session_id.as_u128() % 2000;
        let out = format!("retry: {retry}\n\n").into_bytes();
        Self { feed, session_id, cursor, due: false, ended: false, out, idle_since: None }
    }

    /// What to send next; none when the stream has ended.
    async fn next(&mut self) -> Option<Bytes> {
        self.idle_since = None;
        while self.out.is_empty() && !self.ended {
            if self.due && !self.feed.is_reading() {
                self.due = false;
                self.feed.read(self.session_id, self.cursor, PAGE);
            }
            match self.feed.next().await {
                Wake::Signal(Signal::Notice(notice)) => match notice.what {
                    What::Message { offset } => self.due |= i64::from(offset) >= i64::from(self.cursor),
                    What::Status(status) => {
                        let agent_id = notice.agent_id;
                        let data = json!({ "session_id": self.session_id, "agent_id": agent_id, "status": status });
                        self.event("status", &data);
                    }
                    What::SessionStarted => {}
                    What::SessionEnded => self.due = true,
                },
                Wake::Signal(Signal::Missed) | Wake::Changed => self.due = true,
                Wake::Heartbeat => {
                    self.out.extend(b":\n\n");
                    self.due = true;
                }
                Wake::Read(Ok(page)) => self.take(&page),
                Wake::Read(Err(error)) => self.failed(&error),
                Wake::End(ending) => self.end(&ending),
            }
        }
        if self.out.is_empty() {
            return None;
        }
        self.idle_since = Some(Instant::now());
        Some(std::mem::take(&mut self.out).into())
    }

    fn take(&mut self, page: &Messages) {
        for message in &page.messages {
            self.out.extend(format!("id: {}\n", message.offset).as_bytes());
            self.event("message", message);
            self.cursor = u32::try_from(message.offset).unwrap_or_default() + 1;
        }
        if page.messages.len() == PAGE as usize {
            self.due = true;
        } else if page.ended {
            self.event("session:ended", &json!({ "session_id": self.session_id }));
            self.ended = true;
        }
    }

    fn failed(&mut self, error: &Error) {
        match error.class() {
            // The next heart-beat tries again, or the news that the database is back.
            Class::Unavailable => tracing::debug!(error = error as &dyn std::error::Error, "A stream waits"),
            Class::NotFound | Class::Denied => self.end(&Ending::REVOKED),
            _ => {
                tracing::error!(error = error as &dyn std::error::Error, "A stream ends");
                self.end(&Ending::UNAVAILABLE);
            }
        }
    }

    fn end(&mut self, ending: &Ending) {
        self.event("end", &json!({ "reason": ending.reason }));
        self.ended = true;
    }

    fn event(&mut self, name: &str, data: &impl Serialize) {
        self.out.extend(format!("event: {name}\ndata: ").as_bytes());
        // JSON has no line breaks of its own, and a vector takes everything.
        let _ = serde_json::to_writer(&mut self.out, data);
        self.out.extend(b"\n\n");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.idle_since.is_some_and(|since| since.elapsed() > WRITE_TIMEOUT / 2) {
            self.feed.too_slow();
        }
    }
}
