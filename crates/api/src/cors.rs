//! Which pages of other origins may call.

use actix_cors::Cors;
use actix_web::HttpRequest;
use actix_web::http::{Method, header};

/// How long a browser may remember the answer to its preflight, in seconds.
const MAX_AGE: usize = 600;

/// Credentials and every method for exactly these origins. Others get no CORS headers, so that browsers withhold the
/// answers from their pages; what they ask is not refused, since a page of our own origin names its origin as well.
pub(crate) fn cors(origins: &[String]) -> Cors {
    let exact = Cors::default()
        .block_on_origin_mismatch(false)
        .allowed_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE])
        .allowed_headers([
            header::ACCEPT.as_str(),
            header::AUTHORIZATION.as_str(),
            header::CONTENT_TYPE.as_str(),
            header::IF_MATCH.as_str(),
            "idempotency-key",
            "last-event-id",
            "traceparent",
            "x-request-id",
        ])
        .expose_headers([
            header::ETAG.as_str(),
            header::LINK.as_str(),
            header::LOCATION.as_str(),
            header::RETRY_AFTER.as_str(),
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "x-request-id",
        ])
        .supports_credentials()
        .max_age(MAX_AGE);
    origins.iter().fold(exact, |cors, origin| cors.allowed_origin(origin))
}

/// The origins whose pages may open a socket. CORS does not hold for those: it is the server that has to look.
pub(crate) struct Origins(Vec<String>);

impl Origins {
    pub(crate) fn new(origins: &[String]) -> Self {
        Self(origins.to_vec())
    }

    /// Whether the request comes from a page of these origins or of our own, from no page at all, or with a credential
    /// that no page has by itself.
    pub(crate) fn admit(&self, request: &HttpRequest) -> bool {
        let headers = request.headers();
        let Some(origin) = headers.get(header::ORIGIN).filter(|_| !headers.contains_key(header::AUTHORIZATION)) else {
            return true;
        };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let page = origin.split_once("://").map(|(_, page)| page);
        let own = page.zip(host).is_some_and(|(page, host)| host.eq_ignore_ascii_case(page));
        own || self.0.iter().any(|known| known == origin)
    }
}
