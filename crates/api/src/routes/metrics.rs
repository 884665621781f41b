use actix_web::http::header;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use parlant_metrics::Exporter;
use parlant_settings::{ExposeSecret, Secret};
use subtle::ConstantTimeEq;

use crate::{ApiError, Endpoint};

/// The text format that Prometheus knows by this version.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What `/metrics` shows, and to whom.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// The numbers.
    pub exporter: Exporter,
    /// What a scraper must bear; without it everybody is welcome.
    pub token: Option<Secret>,
}

pub(crate) fn mount(config: &mut ServiceConfig, scrape: &Scrape) {
    config.app_data(Data::new(scrape.clone()));
    Endpoint::new("/metrics").unlimited().get(metrics).mount(config);
}

/// Shows the numbers in Prometheus' text format
///
/// Waits for nothing: what would have to be asked for was sampled before. Not there with `METRICS_ENABLED=false`.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "Operation", security((), ("scrape" = [])),
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4; charset=utf-8",
        example = "parlant_http_requests_in_flight 1\n"))
)]
async fn metrics(request: HttpRequest, scrape: Data<Scrape>) -> Result<HttpResponse, ApiError> {
    if let Some(token) = &scrape.token {
        let presented = bearer(&request).ok_or(ApiError::AuthenticationRequired)?;
        let equal = presented.ct_eq(token.expose_secret().as_bytes());
        if !bool::from(equal) {
            return Err(ApiError::AuthenticationRequired);
        }
    }
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, TEXT)).body(scrape.exporter.render()))
}

fn bearer(request: &HttpRequest) -> Option<&[u8]> {
    let value = request.headers().get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
