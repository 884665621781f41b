use actix_web::HttpRequest;
use actix_web::http::header;
use parlant_conversations::check::MAX_IDEMPOTENCY_KEY;

use crate::ApiError;

/// The name of the header that makes a retry safe.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Which versions an update may meet, by `If-Match`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Any: there is no such header, or it says `*`.
    Any,
    /// One of these. None is left when no tag could be ours, as a weak one cannot.
    OneOf(Vec<i32>),
}

/// Reads `If-Match`.
///
/// # Errors
/// When it is neither `*` nor a list of entity tags.
pub(crate) fn if_match(request: &HttpRequest) -> Result<IfMatch, ApiError> {
    let mut versions = Vec::new();
    let mut given = false;
    for value in request.headers().get_all(header::IF_MATCH) {
        given = true;
        let value = value.to_str().map_err(|_| wrong_if_match())?;
        if value.trim() == "*" {
            return Ok(IfMatch::Any);
        }
        for tag in value.split(',').map(str::trim) {
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let opaque = opaque
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .filter(|opaque| !opaque.contains('"'))
                .ok_or_else(wrong_if_match)?;
            if !tag.starts_with("W/") {
                versions.extend(opaque.parse::<i32>().ok());
            }
        }
    }
    Ok(if given { IfMatch::OneOf(versions) } else { IfMatch::Any })
}

fn wrong_if_match() -> ApiError {
    ApiError::field("If-Match", "must be * or entity tags")
}

/// Reads `Idempotency-Key`.
///
/// # Errors
/// When it is given twice, or is not 1 to 255 visible ASCII characters.
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let mut keys = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let key = key
        .to_str()
        .ok()
        .filter(|key| (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()));
    match (key, keys.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => {
            let expected = "must be given once, as 1 to 255 visible ASCII characters";
            Err(ApiError::field(IDEMPOTENCY_KEY, expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(value: &'static str) -> Result<IfMatch, ApiError> {
        let request = TestRequest::default().insert_header((header::IF_MATCH, value));
        if_match(&request.to_http_request())
    }

    #[test]
    fn tags_are_read_and_weak_or_foreign_ones_match_nothing() {
        assert_eq!(read("*").unwrap(), IfMatch::Any);
        assert_eq!(read("\"3\"").unwrap(), IfMatch::OneOf(vec![3]));
        assert_eq!(read("\"3\", W/\"4\" ,\"x\",\"5\"").unwrap(), IfMatch::OneOf(vec![3, 5]));
        let none = TestRequest::default().to_http_request();
        assert_eq!(if_match(&none).unwrap(), IfMatch::Any);
        for bad in ["3", "", "\"3", "\"3\" \"4\"", "\"3\",", "W/3"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
