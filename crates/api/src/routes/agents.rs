use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use parlant_conversations::{Agent, AgentPatch, Change, DEFAULT_PAGE, ListAgents, NewAgent};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Done;
use super::paging::{answer_page, cursor};
use crate::extract::{
    AgentId, Authenticated, FromCaller, IfMatch, Json, Query, WorkspaceId, Write, if_match, in_workspace,
};
use crate::openapi::schemas;
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

/// An agent to be
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAgent, example = json!({
    "workspace_id": "00000000-0000-4000-8000-00000000000a", "name": "Help desk", "description": "Answers questions",
    "guidelines": ["Be brief", {"condition": "Somebody says hello", "action": "Say hello and ask how to help"}]
}))]
struct Create {
    workspace_id: String,
    /// One line; unique among the active agents of the workspace.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    name: String,
    #[schema(max_length = 4000, pattern = r"^[^\x00]*$")]
    description: Option<String>,
    #[schema(value_type = Option<Vec<schemas::Entry>>, max_items = 200)]
    guidelines: Option<Vec<Value>>,
    #[schema(value_type = Option<Vec<schemas::Entry>>, max_items = 200)]
    tools: Option<Vec<Value>>,
    /// The language model's name.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]*$")]
    model: Option<String>,
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
}

/// Creates an agent
///
/// Needs `write` in the workspace.
#[utoipa::path(
    post, path = "/api/v1/agents", operation_id = "create_agent", tag = "Agents", request_body = Create,
    responses((status = 201, body = schemas::Agent, headers(("Location"), ("ETag"))), (status = 403), (status = 409))
)]
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

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// One workspace; unless given, all of the caller's.
    #[param(example = "00000000-0000-4000-8000-00000000000a")]
    workspace_id: Option<String>,
    /// Most agents of the page.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// Where the list goes on, from an earlier answer's `Link`.
    #[param(pattern = "^[0-9a-f]{48}$")]
    cursor: Option<String>,
}

/// Lists agents, newest first
///
/// Those of all workspaces that the caller may read, or of one.
#[utoipa::path(
    get, path = "/api/v1/agents", operation_id = "list_agents", tag = "Agents", params(List),
    responses((status = 200, body = Vec<schemas::Agent>, headers(("Link"))), (status = 403))
)]
async fn list(
    state: Data<State>,
    FromCaller(caller, (request, Query(list))): FromCaller<(HttpRequest, Query<List>)>,
) -> Result<HttpResponse, ApiError> {
    let workspace_id = list.workspace_id.as_deref();
    list_in(&state, &caller, &request, workspace_id, &list).await
}

/// Lists the agents of a workspace, newest first
///
/// Needs `read` there. `workspace_id` may repeat the path's.
#[utoipa::path(
    get, path = "/api/v1/agents/workspaces/{id}/agents", operation_id = "list_workspace_agents", tag = "Agents",
    params(("id" = String, Path, description = "The workspace", example = "00000000-0000-4000-8000-00000000000a"), List),
    responses((status = 200, body = Vec<schemas::Agent>, headers(("Link"))), (status = 403))
)]
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

/// Shows an agent
#[utoipa::path(
    get, path = "/api/v1/agents/{id}", operation_id = "get_agent", tag = "Agents",
    params(("id" = schemas::Id, Path, description = "The agent")),
    responses((status = 200, body = schemas::Agent, headers(("ETag"))))
)]
async fn get(
    state: Data<State>,
    FromCaller(caller, AgentId(id)): FromCaller<AgentId>,
) -> Result<HttpResponse, ApiError> {
    let agent = state.conversations.agent(&caller.everywhere(), id).await;
    let agent = agent.map_err(|error| caller.failed(error))?;
    Ok(answer(HttpResponse::Ok(), &agent))
}

/// What changes in an agent: what is absent stays, `null` clears
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentChanges, example = json!({"name": "Service desk", "model": null}))]
struct Update {
    #[serde(default)]
    #[schema(value_type = String, min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$")]
    name: Change<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 4000, pattern = r"^[^\x00]*$")]
    description: Change<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<schemas::Entry>>, max_items = 200)]
    guidelines: Change<Vec<Value>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<schemas::Entry>>, max_items = 200)]
    tools: Change<Vec<Value>>,
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255, pattern = r"^[^\x00]*$")]
    model: Change<String>,
    #[serde(default)]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 2)]
    temperature: Change<f64>,
}

/// Changes an agent
///
/// Needs `write` in its workspace. `If-Match` with the `ETag` of what was read guards against lost updates.
#[utoipa::path(
    patch, path = "/api/v1/agents/{id}", operation_id = "update_agent", tag = "Agents", request_body = Update,
    params(
        ("id" = schemas::Id, Path, description = "The agent"),
        ("If-Match" = Option<String>, Header, description = "The versions that may be changed", example = "\"3\"",
            pattern = r#"^(\*|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$"#),
    ),
    responses((status = 200, body = schemas::Agent, headers(("ETag"))), (status = 403), (status = 409), (status = 412))
)]
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

/// Deletes an agent
///
/// Needs `write` in its workspace, and to be its creator or admin there. Its sessions end and its name is free.
#[utoipa::path(
    delete, path = "/api/v1/agents/{id}", operation_id = "delete_agent", tag = "Agents",
    params(("id" = schemas::Id, Path, description = "The agent")),
    responses((status = 200, body = Done), (status = 403))
)]
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
