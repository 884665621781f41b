use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use parlant_conversations::{Cursor, Page};
use serde::Serialize;
use url::form_urlencoded;

use crate::ApiError;

/// The parameter that says where a list goes on.
const CURSOR: &str = "cursor";

/// Reads the parameter.
pub(super) fn cursor(text: Option<&str>) -> Result<Option<Cursor>, ApiError> {
    let cursor = text.map(str::parse::<Cursor>).transpose();
    cursor.map_err(|error| ApiError::field(CURSOR, error.to_string()))
}

/// Answers a page, with the address of the next one in `Link` (RFC 8288): the same request with another cursor.
pub(super) fn answer_page<T: Serialize>(request: &HttpRequest, page: &Page<T>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.next {
        let query = request.query_string().as_bytes();
        let kept = form_urlencoded::parse(query).filter(|(name, _)| name != CURSOR);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair(CURSOR, &next.to_string())
            .finish();
        let link = format!("<{}?{query}>; rel=\"next\"", request.uri().path());
        // A path that was routed and an encoded query are fit for a header.
        if let Ok(link) = HeaderValue::try_from(link) {
            response.insert_header((header::LINK, link));
        }
    }
    response.json(&page.items)
}
