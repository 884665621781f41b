//! What handlers are given of a request, checked.

mod caller;
mod conditions;
mod json;
mod path;
mod query;
mod wrong_field;

pub use caller::{Admin, Authenticated, FromCaller, Level, MaybeAuthenticated, Read, WorkspaceAccess, Write};
pub(crate) use caller::{in_workspace, judge};
pub(crate) use conditions::{IfMatch, idempotency_key, if_match};
pub(crate) use json::OptionalJson;
pub use json::{BODY_LIMIT, Json};
pub(crate) use path::{AgentId, SessionId, WorkspaceId};
pub(crate) use query::Query;
