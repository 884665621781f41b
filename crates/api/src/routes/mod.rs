//! The routes, each file one part of the interface.

mod agents;
mod auth;
mod health;
mod messages;
mod metrics;
mod paging;
mod sessions;

use actix_web::web::ServiceConfig;
use serde::Serialize;

pub use metrics::Scrape;
pub(crate) use metrics::mount as mount_metrics;

/// Mounts every route. Fixed segments come before those that stand for anything.
pub(crate) fn mount(config: &mut ServiceConfig) {
    health::mount(config);
    auth::mount(config);
    sessions::mount(config);
    messages::mount(config);
    agents::mount(config);
}

/// What there is to say when something was done and there is nothing to show.
#[derive(Serialize)]
struct Done {
    message: &'static str,
}
