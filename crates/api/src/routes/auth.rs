use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use parlant_auth_bridge::{ClientAddress, Credential, Permission, Session, Statistics, User, Verdict, Workspace};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::extract::{Authenticated, FromCaller, Json, MaybeAuthenticated, OptionalJson, Read, WorkspaceId, judge};
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
#[derive(Serialize)]
struct Caller<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated: Option<bool>,
    user: &'a User,
    session: &'a Session,
    workspaces: &'a [Workspace],
}

impl<'a> Caller<'a> {
    fn new(caller: &'a Authenticated, authenticated: Option<bool>) -> Self {
        Self { authenticated, user: caller.user(), session: caller.session(), workspaces: caller.workspaces() }
    }
}

#[derive(Serialize)]
struct Anonymous {
    authenticated: bool,
}

/// Whether the caller is signed in. Nobody needs to be.
async fn status(MaybeAuthenticated(caller): MaybeAuthenticated) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    match caller {
        Some(caller) => response.json(Caller::new(&caller, Some(true))),
        None => response.json(Anonymous { authenticated: false }),
    }
}

async fn me(FromCaller(caller, ()): FromCaller<()>) -> HttpResponse {
    HttpResponse::Ok().json(Caller::new(&caller, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Validate {
    token: String,
}

#[derive(Serialize)]
struct Validation<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspaces: Option<&'a [Workspace]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
}

/// What a token is worth, for other services.
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

#[derive(Serialize)]
struct Workspaces<'a> {
    workspaces: &'a [Workspace],
}

async fn workspaces(FromCaller(caller, ()): FromCaller<()>) -> HttpResponse {
    HttpResponse::Ok().json(Workspaces { workspaces: caller.workspaces() })
}

#[derive(Serialize)]
struct Access<'a> {
    has_access: bool,
    workspace: &'a Workspace,
}

async fn access(FromCaller(caller, WorkspaceId(id)): FromCaller<WorkspaceId>) -> Result<HttpResponse, ApiError> {
    let access = caller.access::<Read>(&id)?;
    Ok(HttpResponse::Ok().json(Access { has_access: true, workspace: access.workspace() }))
}

/// What the context is for.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextFor {
    agent_id: Option<Uuid>,
}

/// What an agent may know of whom it serves: one person in one workspace.
#[derive(Serialize)]
struct Context<'a> {
    /// The sign-in that the context ends with.
    session_id: &'a str,
    #[expect(clippy::struct_field_names, reason = "the name that clients know")]
    user_context: Person<'a>,
    workspace_id: &'a str,
    agent_id: Option<Uuid>,
    isolation_boundary: String,
    created_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct Person<'a> {
    #[serde(flatten)]
    user: &'a User,
    role: Permission,
    permissions: &'static [Permission],
}

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

async fn cache_statistics(state: Data<State>, _: FromCaller<()>) -> web::Json<Statistics> {
    web::Json(state.auth.statistics())
}
