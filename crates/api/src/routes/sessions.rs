use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use parlant_conversations::{DEFAULT_PAGE, ListSessions, NewSession, SessionStatus};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Done;
use super::paging::{answer_page, cursor};
use crate::extract::{FromCaller, Json, Query, Read, SessionId, in_workspace};
use crate::openapi::schemas;
use crate::{ApiError, Endpoint, State};

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/api/v1/agents/sessions").get(list).on(Method::POST, StatusCode::CREATED, start).mount(config);
    Endpoint::new("/api/v1/agents/sessions/{id}").get(get).on(Method::DELETE, StatusCode::OK, end).mount(config);
}

/// A session to be
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSession, example = json!({
    "agent_id": "019ab7d2-4c1e-7c3a-9f0b-2d6a8e41b7f5", "workspace_id": "00000000-0000-4000-8000-00000000000a",
    "context": {"page": "home"}
}))]
struct Start {
    #[schema(value_type = schemas::Id)]
    agent_id: Uuid,
    /// The agent's workspace.
    workspace_id: String,
    /// Anything to keep with the session, up to 64 KiB.
    #[schema(value_type = Option<Object>)]
    context: Option<Value>,
}

/// Starts a session with an agent
///
/// Needs `read` in its workspace.
#[utoipa::path(
    post, path = "/api/v1/agents/sessions", operation_id = "start_session", tag = "Conversations", request_body = Start,
    responses((status = 201, body = schemas::Session, headers(("Location"))), (status = 403), (status = 404))
)]
async fn start(
    state: Data<State>,
    FromCaller(caller, Json(body)): FromCaller<Json<Start>>,
) -> Result<HttpResponse, ApiError> {
    let access = caller.access::<Read>(&body.workspace_id)?;
    let new = NewSession { agent_id: body.agent_id, workspace_id: body.workspace_id, context: body.context };
    let started = state.conversations.start_session(&access.actor(), new).await;
    let session = started.map_err(|error| caller.failed(error))?;
    let location = format!("/api/v1/agents/sessions/{}", session.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(session))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// One workspace; unless given, all of the caller's.
    #[param(example = "00000000-0000-4000-8000-00000000000a")]
    workspace_id: Option<String>,
    /// The sessions with one agent.
    #[param(value_type = Option<schemas::Id>)]
    agent_id: Option<Uuid>,
    #[param(value_type = Option<schemas::SessionStatus>)]
    status: Option<SessionStatus>,
    /// Most sessions of the page.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// Where the list goes on, from an earlier answer's `Link`.
    #[param(pattern = "^[0-9a-f]{48}$")]
    cursor: Option<String>,
}

/// Lists sessions, newest first
///
/// The caller's own, and everybody's where the caller is admin.
#[utoipa::path(
    get, path = "/api/v1/agents/sessions", operation_id = "list_sessions", tag = "Conversations", params(List),
    responses((status = 200, body = Vec<schemas::Session>, headers(("Link"))), (status = 403))
)]
async fn list(
    state: Data<State>,
    FromCaller(caller, (request, Query(list))): FromCaller<(HttpRequest, Query<List>)>,
) -> Result<HttpResponse, ApiError> {
    let workspace_id = list.workspace_id.as_deref();
    let actor = caller.reading(workspace_id)?;
    let list = ListSessions {
        workspace_id,
        agent_id: list.agent_id,
        status: list.status,
        cursor: cursor(list.cursor.as_deref())?,
        limit: list.limit.unwrap_or(DEFAULT_PAGE),
    };
    let page = state.conversations.list_sessions(&actor, list).await;
    let page = page.map_err(|error| caller.failed(error))?;
    Ok(answer_page(&request, &page))
}

/// Shows a session
///
/// To its owner and to admins of its workspace.
#[utoipa::path(
    get, path = "/api/v1/agents/sessions/{id}", operation_id = "get_session", tag = "Conversations",
    params(("id" = schemas::Id, Path, description = "The session")),
    responses((status = 200, body = schemas::Session))
)]
async fn get(
    state: Data<State>,
    FromCaller(caller, SessionId(id)): FromCaller<SessionId>,
) -> Result<HttpResponse, ApiError> {
    let session = state.conversations.session(&caller.everywhere(), id).await;
    let session = session.map_err(|error| caller.failed(error))?;
    in_workspace(&session.workspace_id);
    Ok(HttpResponse::Ok().json(session))
}

/// Ends a session
///
/// For its owner and admins of its workspace. Ending twice is fine.
#[utoipa::path(
    delete, path = "/api/v1/agents/sessions/{id}", operation_id = "end_session", tag = "Conversations",
    params(("id" = schemas::Id, Path, description = "The session")),
    responses((status = 200, body = Done))
)]
async fn end(
    state: Data<State>,
    FromCaller(caller, SessionId(id)): FromCaller<SessionId>,
) -> Result<HttpResponse, ApiError> {
    let ended = state.conversations.end_session(&caller.everywhere(), id).await;
    let session = ended.map_err(|error| caller.failed(error))?;
    in_workspace(&session.workspace_id);
    Ok(HttpResponse::Ok().json(Done { message: "Session ended" }))
}
