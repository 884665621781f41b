use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use parlant_conversations::{DEFAULT_PAGE, ListMessages, MessageType, NewMessage};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::{FromCaller, Json, Query, SessionId, idempotency_key};
use crate::openapi::schemas;
use crate::{ApiError, Endpoint, State};

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/api/v1/agents/sessions/{id}/messages")
        .get(list)
        .on(Method::POST, StatusCode::CREATED, post)
        .mount(config);
}

/// A message to be
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMessage, example = json!({"content": "Hello!"}))]
struct Post {
    #[schema(min_length = 1, max_length = 32_000, pattern = r"^[^\x00]*$")]
    content: String,
    /// Anything to keep with the message, up to 16 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// `user` unless given.
    #[schema(value_type = Option<schemas::PostedType>)]
    message_type: Option<MessageType>,
    /// May repeat the path's.
    #[schema(value_type = Option<schemas::Id>)]
    session_id: Option<Uuid>,
}

/// Says something in a session of one's own
///
/// A `user` message is answered by the agent, in a message that comes later. With an `Idempotency-Key` the same request can
/// be sent again: the message is stored once.
#[utoipa::path(
    post, path = "/api/v1/agents/sessions/{id}/messages", operation_id = "post_message", tag = "Conversations",
    request_body = Post,
    params(
        ("id" = schemas::Id, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe", example = "6f1c-42",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses((status = 201, body = schemas::Message), (status = 409))
)]
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

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// Most messages of the page.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// The first message of the page.
    #[param(maximum = 4_294_967_295_u32)]
    offset: Option<u32>,
    /// Instead of `offset`: the offset of the last message that the client has.
    #[param(maximum = 4_294_967_295_u32)]
    after: Option<u32>,
}

/// Lists the messages of a session, in order
///
/// For its owner and admins of its workspace.
#[utoipa::path(
    get, path = "/api/v1/agents/sessions/{id}/messages", operation_id = "list_messages", tag = "Conversations",
    params(("id" = schemas::Id, Path, description = "The session"), List),
    responses((status = 200, body = schemas::Messages))
)]
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
