use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::ApiError;

/// The route parameter that names what the route is about.
const ID: &str = "id";

/// Length of an id as we write it, with hyphens; the parser knows more spellings.
const UUID_LENGTH: usize = 36;

/// The agent that the path names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgentId(pub(crate) Uuid);

/// The session that the path names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionId(pub(crate) Uuid);

/// The workspace that the path names: opaque text, not yet known to exist.
#[derive(Debug, Clone)]
pub(crate) struct WorkspaceId(pub(crate) String);

fn id(request: &HttpRequest) -> &str {
    request.match_info().get(ID).unwrap_or_default()
}

/// What is no id of ours names nothing that there is.
fn uuid(request: &HttpRequest) -> Option<Uuid> {
    let text = id(request);
    (text.len() == UUID_LENGTH).then(|| Uuid::try_parse(text).ok())?
}

impl FromRequest for AgentId {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(uuid(request).map(Self).ok_or(ApiError::AgentNotFound))
    }
}

impl FromRequest for SessionId {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(uuid(request).map(Self).ok_or(ApiError::SessionNotFound))
    }
}

impl FromRequest for WorkspaceId {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Bytes that are no text name no workspace, as the replacement characters do.
        let id = percent_decode_str(id(request)).decode_utf8_lossy();
        ready(Ok(Self(id.into_owned())))
    }
}
