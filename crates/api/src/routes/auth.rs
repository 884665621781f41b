use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use parlant_auth_bridge::{ClientAddress, Credential, Permission, Session, Statistics, User, Verdict, Workspace};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::extract::{Authenticated, FromCaller, Json, MaybeAuthenticated, OptionalJson, Read, WorkspaceId, judge};
use crate::openapi::schemas;
use crate::rate_limit::Admission;
use crate::{ApiError, Endpoint, State};

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/api/v1/auth/status").get(status).mount(config);
    Endpoint::new("/api/v1/auth/validate").on(Method::POST, StatusCode::OK, validate).mount(config);
    Endpoint::new("/api/v1/auth/me").get(me).mount(config);
    Endpoint::new("/api/v1/auth/workspaces").get(workspaces).mount(config);
    Endpoint::new("/api/v1/auth/workspaces/{id}/access").get(access).mount(config);
    Endpoint::new("/api/v1/auth/workspaces/{id}/context").on(Method::POST, StatusCode::OK, context).mount(config);
    Endpoint::new("/api/v1/auth/cache/stats").get(cache_statistics).mount(config);
}

/// A person and what is open to that person.
#[derive(Serialize, ToSchema)]
struct Caller<'a> {
    /// Said by the status alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    authenticated: Option<bool>,
    #[schema(value_type = schemas::User)]
    user: &'a User,
    #[schema(value_type = schemas::SignIn)]
    session: &'a Session,
    #[schema(value_type = Vec<schemas::Workspace>)]
    workspaces: &'a [Workspace],
}

impl<'a> Caller<'a> {
    fn new(caller: &'a Authenticated, authenticated: Option<bool>) -> Self {
        Self { authenticated, user: caller.user(), session: caller.session(), workspaces: caller.workspaces() }
    }
}

/// Nobody
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"authenticated": false}))]
struct Anonymous {
    authenticated: bool,
}

/// The two answers of the status
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "its derive alone is used")]
enum Status<'a> {
    Anonymous(Anonymous),
    Caller(Caller<'a>),
}

/// Tells whether the caller is signed in
///
/// Nobody needs to be; a bad credential is refused.
#[utoipa::path(
    get, path = "/api/v1/auth/status", operation_id = "auth_status", tag = "Sign-in",
    security((), ("bearer" = []), ("secureCookie" = []), ("cookie" = [])),
    responses((status = 200, body = Status<'_>, example = json!({"authenticated": false})))
)]
async fn status(MaybeAuthenticated(caller): MaybeAuthenticated) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    match caller {
        Some(caller) => response.json(Caller::new(&caller, Some(true))),
        None => response.json(Anonymous { authenticated: false }),
    }
}

/// Tells who the caller is
#[utoipa::path(
    get, path = "/api/v1/auth/me", operation_id = "auth_me", tag = "Sign-in",
    responses((status = 200, body = Caller<'_>))
)]
async fn me(FromCaller(caller, ()): FromCaller<()>) -> HttpResponse {
    HttpResponse::Ok().json(Caller::new(&caller, None))
}

/// A token of somebody's
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Token, example = json!({"token": "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv"}))]
struct Validate {
    token: String,
}

/// What a token is worth: the rest is there when it is valid
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"valid": false}))]
struct Validation<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::User)]
    user: Option<&'a User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<schemas::Workspace>)]
    workspaces: Option<&'a [Workspace]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = DateTime<Utc>)]
    expires_at: Option<DateTime<Utc>>,
}

/// Tells other services what a token is worth
#[utoipa::path(
    post, path = "/api/v1/auth/validate", operation_id = "validate_token", tag = "Sign-in", security(()),
    request_body = Validate, responses((status = 200, body = Validation<'_>))
)]
async fn validate(
    request: HttpRequest,
    state: Data<State>,
    Json(body): Json<Validate>,
) -> Result<HttpResponse, ApiError> {
    let mut credential = Credential::from_bearer(&body.token);
    if let Some(ClientAddress(client)) = request.extensions().get() {
        credential = credential.with_client(*client);
    }
    let identity = match judge(&state, Admission::of(&request).as_deref(), &credential).await? {
        Verdict::Valid(identity) => Some(identity),
        Verdict::Invalid(_) => None,
        Verdict::Unknown(cause) => return Err(cause.into()),
    };
    let identity = identity.as_deref();
    Ok(HttpResponse::Ok().json(Validation {
        valid: identity.is_some(),
        user: identity.map(|identity| &identity.user),
        workspaces: identity.map(|identity| &*identity.workspaces),
        expires_at: identity.map(|identity| identity.session.expires_at),
    }))
}

/// The caller's workspaces
#[derive(Serialize, ToSchema)]
struct Workspaces<'a> {
    #[schema(value_type = Vec<schemas::Workspace>)]
    workspaces: &'a [Workspace],
}

/// Lists the caller's workspaces
#[utoipa::path(
    get, path = "/api/v1/auth/workspaces", operation_id = "auth_workspaces", tag = "Sign-in",
    responses((status = 200, body = Workspaces<'_>))
)]
async fn workspaces(FromCaller(caller, ()): FromCaller<()>) -> HttpResponse {
    HttpResponse::Ok().json(Workspaces { workspaces: caller.workspaces() })
}

/// What the caller may do in a workspace
#[derive(Serialize, ToSchema)]
struct Access<'a> {
    /// True, or it is 403.
    has_access: bool,
    #[schema(value_type = schemas::Workspace)]
    workspace: &'a Workspace,
}

/// Tells what the caller may do in a workspace
#[utoipa::path(
    get, path = "/api/v1/auth/workspaces/{id}/access", operation_id = "workspace_access", tag = "Sign-in",
    params(("id" = String, Path, description = "The workspace", example = "00000000-0000-4000-8000-00000000000a")),
    responses((status = 200, body = Access<'_>), (status = 403))
)]
async fn access(FromCaller(caller, WorkspaceId(id)): FromCaller<WorkspaceId>) -> Result<HttpResponse, ApiError> {
    let access = caller.access::<Read>(&id)?;
    Ok(HttpResponse::Ok().json(Access { has_access: true, workspace: access.workspace() }))
}

/// What the context is for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"agent_id": "019ab7d2-4c1e-7c3a-9f0b-2d6a8e41b7f5"}))]
struct ContextFor {
    /// An agent of the workspace.
    #[schema(value_type = Option<schemas::Id>)]
    agent_id: Option<Uuid>,
}

/// What an agent may know of whom it serves: one person in one workspace.
#[derive(Serialize, ToSchema)]
struct Context<'a> {
    /// The sign-in that the context ends with.
    session_id: &'a str,
    #[expect(clippy::struct_field_names, reason = "the name that clients know")]
    user_context: Person<'a>,
    workspace_id: &'a str,
    #[schema(value_type = Option<schemas::Id>, required = true)]
    agent_id: Option<Uuid>,
    #[schema(example = "workspace:00000000-0000-4000-8000-00000000000a:user:Zq3vV0c1Y8")]
    isolation_boundary: String,
    created_at: DateTime<Utc>,
}

/// The caller in a workspace
#[derive(Serialize, ToSchema)]
struct Person<'a> {
    #[serde(flatten)]
    #[schema(value_type = schemas::User)]
    user: &'a User,
    #[schema(value_type = schemas::Permission)]
    role: Permission,
    #[schema(value_type = Vec<schemas::Permission>)]
    permissions: &'static [Permission],
}

/// Makes the isolated context of an agent
///
/// Needs `read` in the workspace. The body may be left out.
#[utoipa::path(
    post, path = "/api/v1/auth/workspaces/{id}/context", operation_id = "agent_context", tag = "Sign-in",
    params(("id" = String, Path, description = "The workspace", example = "00000000-0000-4000-8000-00000000000a")),
    request_body = Option<ContextFor>, responses((status = 200, body = Context<'_>), (status = 403))
)]
async fn context(
    state: Data<State>,
    FromCaller(caller, (WorkspaceId(id), OptionalJson(body))): FromCaller<(WorkspaceId, OptionalJson<ContextFor>)>,
) -> Result<HttpResponse, ApiError> {
    let access = caller.access::<Read>(&id)?;
    if let Some(agent_id) = body.agent_id {
        let agent = state.conversations.agent(&access.actor(), agent_id).await;
        agent.map_err(|error| caller.failed(error))?;
    }
    let workspace = access.workspace();
    let user = caller.user();
    Ok(HttpResponse::Ok().json(Context {
        session_id: &caller.session().id,
        user_context: Person { user, role: workspace.permission, permissions: workspace.permission.expand() },
        workspace_id: &workspace.id,
        agent_id: body.agent_id,
        isolation_boundary: format!("workspace:{}:user:{}", workspace.id, user.id),
        created_at: Utc::now(),
    }))
}

/// Shows how the session cache does
#[utoipa::path(
    get, path = "/api/v1/auth/cache/stats", operation_id = "auth_cache_stats", tag = "Sign-in",
    responses((status = 200, body = schemas::CacheStatistics))
)]
async fn cache_statistics(state: Data<State>, _: FromCaller<()>) -> web::Json<Statistics> {
    web::Json(state.auth.statistics())
}
