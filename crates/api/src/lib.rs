//! Everything of the bridge that knows HTTP: routes, extractors, errors, and what happens around a request.

mod app;
mod config;
mod cors;
mod endpoint;
mod error;
mod extract;
mod field_errors;
pub mod metrics;
mod middleware;
mod readiness;
mod routes;
mod server;

pub use actix_web::dev::Server;
pub use app::{State, app};
pub use config::{Config, HOST, PORT, VARIABLES};
pub use endpoint::Endpoint;
pub use error::{ApiError, BoxError};
pub use extract::{
    Admin, Authenticated, BODY_LIMIT, FromCaller, Json, Level, MaybeAuthenticated, Read,
    WorkspaceAccess, Write,
};
pub use field_errors::FieldErrors;
pub use readiness::{Health, Readiness, probe_database};
pub use server::serve;
