use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, ServiceConfig};
use serde::Serialize;

use crate::error::RETRY_OUTAGE;
use crate::{Endpoint, Health, State};

/// What monitoring knows us as.
const SERVICE: &str = "parlant-server";

#[derive(Serialize)]
struct Report {
    status: &'static str,
    service: &'static str,
    version: &'static str,
}

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/health").get(ready).mount(config);
    Endpoint::new("/readyz").get(ready).mount(config);
    Endpoint::new("/livez").get(live).mount(config);
}

/// Whether to send requests here, by what is known already.
async fn ready(state: Data<State>) -> HttpResponse {
    let (status, good) = match state.readiness.health() {
        _ if state.readiness.is_draining() => ("draining", false),
        Health::Healthy => ("healthy", true),
        Health::Degraded => ("degraded", true),
        Health::Unhealthy => ("unhealthy", false),
    };
    let mut response = if good { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !good {
        response.insert_header((header::RETRY_AFTER, RETRY_OUTAGE.as_secs()));
    }
    response.json(report(status, &state))
}

/// That the process answers at all.
async fn live(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(report("alive", &state))
}

fn report(status: &'static str, state: &State) -> Report {
    Report { status, service: SERVICE, version: state.version }
}
