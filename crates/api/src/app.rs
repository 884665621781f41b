use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Condition, NormalizePath};
use actix_web::{App, Error, HttpRequest, web};
use parlant_auth_bridge::AuthBridge;
use parlant_conversations::Conversations;
use parlant_health::Monitor;

use crate::cors::cors;
use crate::middleware::Requests;
use crate::{Readiness, Scrape, routes};

/// What the routes work with. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct State {
    /// Who calls.
    pub auth: AuthBridge,
    /// Agents, sessions and messages.
    pub conversations: Conversations,
    /// What `/health`, `/readyz` and the report answer from.
    pub health: Monitor,
    /// Whether requests are still wanted.
    pub readiness: Readiness,
    /// What `/metrics` answers; without it there is no such path.
    pub metrics: Option<Scrape>,
}

impl State {
    /// The state of the application that serves the request.
    pub(crate) fn of(request: &HttpRequest) -> Option<web::Data<Self>> {
        request.app_data::<web::Data<Self>>().cloned()
    }
}

/// The whole application: every route, and what happens around them.
pub fn app(
    state: &State,
    cors_origins: &[String],
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    // Of two middlewares the later one is the outer one.
    App::new()
        .app_data(web::Data::new(state.clone()))
        .configure(routes::mount)
        .configure(|config| {
            if let Some(scrape) = &state.metrics {
                routes::mount_metrics(config, scrape);
            }
        })
        .wrap(Condition::new(!cors_origins.is_empty(), cors(cors_origins)))
        .wrap(Requests::new(state.readiness.clone()))
        .wrap(NormalizePath::trim())
}
