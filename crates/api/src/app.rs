use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Condition, NormalizePath};
use actix_web::{App, Error, HttpRequest, HttpResponse, web};
use parlant_auth_bridge::AuthBridge;
use parlant_conversations::Conversations;
use parlant_health::Monitor;

use crate::cors::{Origins, cors};
use crate::middleware::Requests;
use crate::rate_limit::Admission;
use crate::{ApiError, Chat, RateLimits, Readiness, Scrape, TrustedProxies, routes};

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
    /// The page at `/`, for `dev`; without it there is no such path.
    pub chat: Option<Chat>,
    /// Who is believed about whom requests come from.
    pub trusted_proxies: TrustedProxies,
    /// How much was asked; without it there is no limit.
    pub rate_limits: Option<RateLimits>,
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
        .app_data(web::Data::new(Origins::new(cors_origins)))
        .configure(routes::mount)
        .configure(|config| {
            if let Some(scrape) = &state.metrics {
                routes::mount_metrics(config, scrape);
            }
            if let Some(chat) = &state.chat {
                routes::mount_chat(config, chat);
            }
        })
        .default_service(web::to(nothing_here))
        .wrap(Condition::new(!cors_origins.is_empty(), cors(cors_origins)))
        .wrap(Requests::new(state.readiness.clone(), state.trusted_proxies.clone()))
        .wrap(NormalizePath::trim())
}

/// The answer to a path that no route has. Guessing paths counts as well.
async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let admission = Admission::to(&request)?;
    let mut answer = HttpResponse::NotFound().finish();
    if let Some(admission) = admission {
        admission.tell(answer.headers_mut());
    }
    Ok(answer)
}
