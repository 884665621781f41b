use std::time::Duration;

use actix_web::http::header::{self, Accept, Header};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use parlant_health::{Audience, CheckReport, Report, SERVICE, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use utoipa::IntoParams;

use crate::error::RETRY_OUTAGE;
use crate::extract::{MaybeAuthenticated, Query};
use crate::openapi::schemas;
use crate::{Endpoint, State};

/// The type of <https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check>.
const HEALTH_JSON: &str = "application/health+json";

/// How long it may take to find out who asks: the report is wanted when nothing else answers.
const CALLER_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Options {
    /// Whether to look anew.
    #[serde(default)]
    fresh: bool,
}

pub(super) fn mount(config: &mut ServiceConfig) {
    Endpoint::new("/health").unlimited().get(ready).mount(config);
    Endpoint::new("/readyz").unlimited().get(ready).mount(config);
    Endpoint::new("/livez").unlimited().get(live).mount(config);
    Endpoint::new("/api/v1/health/detailed").get(detailed).mount(config);
}

/// Tells whether to send requests here
///
/// By what is known already: no hard dependency is out of order, and nobody stops the server.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "Operation", security(()),
    responses(
        (status = 200, content((schemas::Health = "application/json"), (schemas::Standard = "application/health+json"))),
        (status = 503, description = "Unhealthy, or draining", headers(("Retry-After")),
            content((schemas::Health = "application/json"), (schemas::Standard = "application/health+json"))),
    )
)]
async fn ready(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let (status, word) = match state.health.status() {
        _ if state.readiness.is_draining() => (Status::Unhealthy, "draining"),
        status => (status, status.as_str()),
    };
    let version = state.health.version();
    let start_id = state.readiness.start_id();
    let plain = json!({ "status": word, "service": SERVICE, "version": version, "start_id": start_id });
    answer(&request, status, &plain, || standard(status, version, Map::new()))
}

/// Tells that the process answers at all
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "Operation", security(()),
    responses((status = 200, body = schemas::Alive))
)]
async fn live(state: Data<State>) -> HttpResponse {
    let (version, start_id) = (state.health.version(), state.readiness.start_id());
    HttpResponse::Ok().json(json!({ "status": "alive", "service": SERVICE, "version": version, "start_id": start_id }))
}

/// Shows how everything is that the service depends on
///
/// With `HEALTH_DETAILS=authenticated`, strangers do not see the findings.
#[utoipa::path(
    get, path = "/api/v1/health/detailed", operation_id = "health_report", tag = "Operation", params(Options),
    security(()),
    responses(
        (status = 200, content((schemas::HealthReport = "application/json"), (schemas::Standard = "application/health+json"))),
        (status = 503, description = "Unhealthy", headers(("Retry-After")),
            content((schemas::HealthReport = "application/json"), (schemas::Standard = "application/health+json"))),
    )
)]
async fn detailed(request: HttpRequest, state: Data<State>, Query(options): Query<Options>) -> HttpResponse {
    let report = if options.fresh { state.health.fresh().await } else { state.health.report() };
    let told = match state.health.audience() {
        Audience::Public => report,
        Audience::Authenticated if is_known(&request).await => report,
        Audience::Authenticated => report.without_findings(),
    };
    answer(&request, told.status, &told, || standard(told.status, told.version, measurements(&told)))
}

/// Whether the caller has a valid session. Whoever cannot be asked about is a stranger here, not a failure.
async fn is_known(request: &HttpRequest) -> bool {
    let caller = timeout(CALLER_PATIENCE, MaybeAuthenticated::extract(request)).await;
    matches!(caller, Ok(Ok(MaybeAuthenticated(Some(_)))))
}

/// The answer in the form that the client prefers.
fn answer(
    request: &HttpRequest,
    status: Status,
    plain: &impl Serialize,
    standard: impl FnOnce() -> Value,
) -> HttpResponse {
    let mut response = match status {
        Status::Unhealthy => HttpResponse::ServiceUnavailable(),
        Status::Degraded | Status::Healthy => HttpResponse::Ok(),
    };
    if status == Status::Unhealthy {
        response.insert_header((header::RETRY_AFTER, RETRY_OUTAGE.as_secs()));
    }
    response.insert_header((header::VARY, "accept"));
    let types = Accept::parse(request).map(|accept| accept.ranked()).unwrap_or_default();
    if types.first().is_some_and(|preferred| preferred.essence_str() == HEALTH_JSON) {
        response.content_type(HEALTH_JSON).json(standard())
    } else {
        response.json(plain)
    }
}

/// As the draft has it.
fn standard(status: Status, version: &str, checks: Map<String, Value>) -> Value {
    let mut body = json!({ "status": grade(status), "serviceId": SERVICE, "releaseId": version });
    if !checks.is_empty() {
        body["checks"] = checks.into();
    }
    body
}

fn grade(status: Status) -> &'static str {
    match status {
        Status::Unhealthy => "fail",
        Status::Degraded => "warn",
        Status::Healthy => "pass",
    }
}

fn measurements(report: &Report) -> Map<String, Value> {
    let measurement = |check: &CheckReport| {
        let mut measurement = json!({
            "status": grade(check.status),
            "observedValue": check.response_time_ms,
            "observedUnit": "ms",
            "time": check.checked_at,
        });
        if let Some(error) = check.findings.as_ref().and_then(|findings| findings.error) {
            measurement["output"] = error.into();
        }
        json!([measurement])
    };
    report.checks.iter().map(|(name, check)| (format!("{name}:responseTime"), measurement(check))).collect()
}
