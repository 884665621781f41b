use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use parlant_conversations::{DEFAULT_PAGE, ListMessages, MessageType, NewMessage};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::extract::{FromCaller, Json, Query, SessionId, idempotency_key};
use crate::{ApiError, Endpoint, State};

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/api/v1/agents/sessions/{id}/messages")
        .get(list)
        .on(Method::POST, StatusCode::CREATED, post)
        .mount(config);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Post {
    content: String,
    metadata: Option<Value>,
    message_type: Option<MessageType>,
    session_id: Option<Uuid>,
}

async fn post(
    state: Data<State>,
    FromCaller(caller, (request, SessionId(session_id), Json(body))): FromCaller<(HttpRequest, SessionId, Json<Post>)>,
) -> Result<HttpResponse, ApiError> {
    if body.session_id.is_some_and(|other| other != session_id) {
        return Err(ApiError::field("session_id", "is not the path's"));
    }
    let new = NewMessage {
        content: body.content,
        message_type: body.message_type.unwrap_or_default(),
        metadata: body.metadata,
        idempotency_key: idempotency_key(&request)?,
    };
    let actor = caller.everywhere();
    let posted = state.conversations.post_message(&actor, session_id, new).await;
    let message = posted.map_err(|error| caller.failed(error))?;
    Ok(HttpResponse::Created().json(message))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    limit: Option<u32>,
    offset: Option<u32>,
    /// The offset of the last message that the client has.
    after: Option<u32>,
}

async fn list(
    state: Data<State>,
    FromCaller(caller, (SessionId(session_id), Query(list))): FromCaller<(SessionId, Query<List>)>,
) -> Result<HttpResponse, ApiError> {
    let offset = match (list.offset, list.after) {
        (offset, None) => offset.unwrap_or_default(),
        (None, Some(after)) => after.saturating_add(1),
        (Some(_), Some(_)) => return Err(ApiError::field("after", "excludes offset")),
    };
    let list = ListMessages { offset, limit: list.limit.unwrap_or(DEFAULT_PAGE) };
    let actor = caller.everywhere();
    let messages = state.conversations.list_messages(&actor, session_id, list).await;
    let messages = messages.map_err(|error| caller.failed(error))?;
    Ok(HttpResponse::Ok().json(messages))
}
