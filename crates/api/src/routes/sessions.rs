use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use parlant_conversations::{DEFAULT_PAGE, ListSessions, NewSession, SessionStatus};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Done;
use super::paging::{answer_page, cursor};
use crate::extract::{FromCaller, Json, Query, Read, SessionId, in_workspace};
use crate::{ApiError, Endpoint, State};

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/api/v1/agents/sessions").get(list).on(Method::POST, StatusCode::CREATED, start).mount(config);
    Endpoint::new("/api/v1/agents/sessions/{id}").get(get).on(Method::DELETE, StatusCode::OK, end).mount(config);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    agent_id: Uuid,
    workspace_id: String,
    context: Option<Value>,
}

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    workspace_id: Option<String>,
    agent_id: Option<Uuid>,
    status: Option<SessionStatus>,
    limit: Option<u32>,
    cursor: Option<String>,
}

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

async fn get(
    state: Data<State>,
    FromCaller(caller, SessionId(id)): FromCaller<SessionId>,
) -> Result<HttpResponse, ApiError> {
    let session = state.conversations.session(&caller.everywhere(), id).await;
    let session = session.map_err(|error| caller.failed(error))?;
    in_workspace(&session.workspace_id);
    Ok(HttpResponse::Ok().json(session))
}

async fn end(
    state: Data<State>,
    FromCaller(caller, SessionId(id)): FromCaller<SessionId>,
) -> Result<HttpResponse, ApiError> {
    let ended = state.conversations.end_session(&caller.everywhere(), id).await;
    let session = ended.map_err(|error| caller.failed(error))?;
    in_workspace(&session.workspace_id);
    Ok(HttpResponse::Ok().json(Done { message: "Session ended" }))
}
