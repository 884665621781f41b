//! What happens around every request.

mod body;
mod context;
mod envelope;
mod exchange;
mod request;
mod request_id;
mod trace_parent;

pub(crate) use context::RequestContext;
pub(crate) use request::Requests;
