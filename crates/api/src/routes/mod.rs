//! The routes, each file one part of the interface.

mod agents;
mod auth;
mod chat;
mod docs;
mod events;
mod feed;
mod health;
mod messages;
mod metrics;
mod page;
mod paging;
mod sessions;
mod socket;

use actix_web::web::ServiceConfig;
use serde::Serialize;
use utoipa::ToSchema;

pub use chat::Chat;
pub(crate) use chat::mount as mount_chat;
pub(crate) use docs::Described;
pub use metrics::Scrape;
pub(crate) use metrics::mount as mount_metrics;

/// Mounts every route. Fixed segments come before those that stand for anything.
pub(crate) fn mount(config: &mut ServiceConfig) {
    docs::mount(config);
    health::mount(config);
    auth::mount(config);
    sessions::mount(config);
    messages::mount(config);
    events::mount(config);
    socket::mount(config);
    agents::mount(config);
}

/// What there is to say when something was done and there is nothing to show.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"message": "Session ended"}))]
struct Done {
    message: &'static str,
}
