use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use parlant_conversations::{Agent, AgentPatch, Change, DEFAULT_PAGE, ListAgents, NewAgent};
use serde::Deserialize;
use serde_json::Value;

use super::Done;
use super::paging::{answer_page, cursor};
use crate::extract::{
    AgentId, Authenticated, FromCaller, IfMatch, Json, Query, WorkspaceId, Write, if_match, in_workspace,
};
use crate::{ApiError, Endpoint, State};

/// Versions start at 1.
const NO_VERSION: i32 = 0;

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/api/v1/agents").get(list).on(Method::POST, StatusCode::CREATED, create).mount(config);
    Endpoint::new("/api/v1/agents/workspaces/{id}/agents").get(list_workspace).mount(config);
    Endpoint::new("/api/v1/agents/{id}")
        .get(get)
        .on(Method::PATCH, StatusCode::OK, update)
        .on(Method::DELETE, StatusCode::OK, archive)
        .mount(config);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    workspace_id: String,
    name: String,
    description: Option<String>,
    guidelines: Option<Vec<Value>>,
    tools: Option<Vec<Value>>,
    model: Option<String>,
    temperature: Option<f64>,
}

async fn create(
    state: Data<State>,
    FromCaller(caller, Json(body)): FromCaller<Json<Create>>,
) -> Result<HttpResponse, ApiError> {
    let access = caller.access::<Write>(&body.workspace_id)?;
    let new = NewAgent {
        workspace_id: body.workspace_id,
        name: body.name,
        description: body.description,
        guidelines: body.guidelines.unwrap_or_default(),
        tools: body.tools.unwrap_or_default(),
        model: body.model,
        temperature: body.temperature,
    };
    let created = state.conversations.create_agent(&access.actor(), new).await;
    let agent = created.map_err(|error| caller.failed(error))?;
    let location = format!("/api/v1/agents/{}", agent.id);
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location));
    Ok(answer(response, &agent))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    workspace_id: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

async fn list(
    state: Data<State>,
    FromCaller(caller, (request, Query(list))): FromCaller<(HttpRequest, Query<List>)>,
) -> Result<HttpResponse, ApiError> {
    let workspace_id = list.workspace_id.as_deref();
    list_in(&state, &caller, &request, workspace_id, &list).await
}

async fn list_workspace(
    state: Data<State>,
    FromCaller(caller, (request, WorkspaceId(id), Query(list))): FromCaller<(HttpRequest, WorkspaceId, Query<List>)>,
) -> Result<HttpResponse, ApiError> {
    if list.workspace_id.as_ref().is_some_and(|other| *other != id) {
        return Err(ApiError::field("workspace_id", "is not the path's"));
    }
    list_in(&state, &caller, &request, Some(&id), &list).await
}

async fn list_in(
    state: &State,
    caller: &Authenticated,
    request: &HttpRequest,
    workspace_id: Option<&str>,
    list: &List,
) -> Result<HttpResponse, ApiError> {
    let actor = caller.reading(workspace_id)?;
    let list =
        ListAgents { workspace_id, cursor: cursor(list.cursor.as_deref())?, limit: list.limit.unwrap_or(DEFAULT_PAGE) };
    let page = state.conversations.list_agents(&actor, list).await;
    let page = page.map_err(|error| caller.failed(error))?;
    Ok(answer_page(request, &page))
}

async fn get(
    state: Data<State>,
    FromCaller(caller, AgentId(id)): FromCaller<AgentId>,
) -> Result<HttpResponse, ApiError> {
    let agent = state.conversations.agent(&caller.everywhere(), id).await;
    let agent = agent.map_err(|error| caller.failed(error))?;
    Ok(answer(HttpResponse::Ok(), &agent))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default)]
    name: Change<String>,
    #[serde(default)]
    description: Change<String>,
    #[serde(default)]
    guidelines: Change<Vec<Value>>,
    #[serde(default)]
    tools: Change<Vec<Value>>,
    #[serde(default)]
    model: Change<String>,
    #[serde(default)]
    temperature: Change<f64>,
}

async fn update(
    state: Data<State>,
    FromCaller(caller, (request, AgentId(id), Json(body))): FromCaller<(HttpRequest, AgentId, Json<Update>)>,
) -> Result<HttpResponse, ApiError> {
    let actor = caller.everywhere();
    let expected = match if_match(&request)? {
        IfMatch::Any => None,
        IfMatch::OneOf(versions) => match versions[..] {
            [version] => Some(version),
            _ => {
                let agent = state.conversations.agent(&actor, id).await;
                let current = agent.map_err(|error| caller.failed(error))?.version;
                let known = versions.contains(&current);
                Some(if known { current } else { NO_VERSION })
            }
        },
    };
    let patch = AgentPatch {
        name: body.name,
        description: body.description,
        guidelines: body.guidelines,
        tools: body.tools,
        model: body.model,
        temperature: body.temperature,
    };
    let updated = state.conversations.update_agent(&actor, id, patch, expected).await;
    let agent = updated.map_err(|error| caller.failed(error))?;
    Ok(answer(HttpResponse::Ok(), &agent))
}

async fn archive(
    state: Data<State>,
    FromCaller(caller, AgentId(id)): FromCaller<AgentId>,
) -> Result<HttpResponse, ApiError> {
    let archived = state.conversations.archive_agent(&caller.everywhere(), id).await;
    archived.map_err(|error| caller.failed(error))?;
    Ok(HttpResponse::Ok().json(Done { message: "Agent deleted" }))
}

/// An agent with its version as entity tag.
fn answer(mut response: HttpResponseBuilder, agent: &Agent) -> HttpResponse {
    in_workspace(&agent.workspace_id);
    response.insert_header((header::ETAG, format!("\"{}\"", agent.version))).json(agent)
}
