use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, ServiceConfig};
use utoipa::OpenApi;

use super::page::page;
use super::{agents, auth, events, health, messages, metrics, sessions, socket};
use crate::Endpoint;
use crate::openapi::{openapi, schemas};

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/openapi.json").get(document).mount(config);
    Endpoint::new("/docs").get(read).mount(config);
}

/// Every operation, and what is said of all of them. [`openapi()`] completes it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sim-Parlant Integration Bridge",
        description = "\
Agents that answer, for Sim's users, kept apart by workspace.

JSON in and out. Times are RFC 3339 in UTC. Ids of agents, sessions and messages are UUIDs; ids of users and workspaces are \
Sim's, opaque text. Unknown fields in a body or query are refused. A trailing slash is accepted. `HEAD` is answered wherever \
`GET` is, other methods with 405 and `Allow`, and unknown paths with 404, all failures in the same envelope.

The first credential that is present counts: the bearer token, then the `__Secure-` cookie, then the other one. 401 means that \
it is no good; 503 that nobody could be asked, so sign nobody out on it."
    ),
    paths(
        health::ready, health::live, health::detailed, metrics::metrics,
        auth::status, auth::validate, auth::me, auth::workspaces, auth::access, auth::context, auth::cache_statistics,
        agents::list, agents::create, agents::list_workspace, agents::get, agents::update, agents::archive,
        sessions::list, sessions::start, sessions::get, sessions::end,
        messages::list, messages::post, events::events, socket::connect,
        document, read,
    ),
    components(schemas(schemas::Error)),
    tags(
        (name = "Sign-in", description = "Who calls, and what is open to that person"),
        (name = "Agents", description = "The agents of a workspace"),
        (name = "Conversations", description = "Sessions with agents, and what is said in them"),
        (name = "Operation", description = "How the service is"),
        (name = "Description", description = "This description"),
    ),
)]
pub(crate) struct Described;

/// This description
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "Description", security(()),
    responses((status = 200, body = Object, example = json!({"openapi": "3.1.0"})))
)]
async fn document() -> HttpResponse {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi().to_string().into());
    HttpResponse::Ok().insert_header(header::ContentType::json()).body(DOCUMENT.clone())
}

/// This description, for people
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "Description", security(()),
    responses((status = 200, body = String, content_type = "text/html; charset=utf-8", example = "<!doctype html>"))
)]
async fn read() -> HttpResponse {
    page(include_str!("../../assets/docs.html"))
}
