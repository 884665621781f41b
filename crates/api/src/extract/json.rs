use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::wrong_field::wrong_field;
use crate::ApiError;

/// Largest body that is read, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;

/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The name of what is wrong when it is the body as a whole.
const BODY: &str = "body";

/// A request's body, read as JSON. Types that are read so refuse unknown fields.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let acceptable = acceptable(request);
        let payload = payload.take();
        Box::pin(async move {
            acceptable?;
            let body =
                tokio::time::timeout(BODY_TIMEOUT, read(payload)).await.map_err(|_| ApiError::RequestTimeout)??;
            parse(&body).map(Self)
        })
    }
}

/// A request's body, read as JSON, or the default when there is none.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: Default + DeserializeOwned + 'static> FromRequest for OptionalJson<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH);
        let empty = length.is_none_or(|length| length == "0") && !headers.contains_key(header::TRANSFER_ENCODING);
        if empty {
            return Box::pin(async { Ok(Self(T::default())) });
        }
        let body = Json::from_request(request, payload);
        Box::pin(async move { Ok(Self(body.await?.0)) })
    }
}

/// Refuses, by its head alone, a body that is not JSON or too large.
fn acceptable(request: &HttpRequest) -> Result<(), ApiError> {
    let headers = request.headers();
    let encoded = headers.get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|encoding| encoding != "identity") || !is_json(request) {
        return Err(ApiError::UnsupportedMediaType);
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(ApiError::PayloadTooLarge);
    }
    Ok(())
}

/// Whether the body is declared as `application/json`, in no character set but UTF-8.
fn is_json(request: &HttpRequest) -> bool {
    let mime = request.mime_type().ok().flatten();
    mime.is_some_and(|mime| {
        let charset = mime.get_param("charset");
        mime.essence_str() == "application/json"
            && charset.is_none_or(|charset| charset.as_str().eq_ignore_ascii_case("utf-8"))
    })
}

async fn read(mut payload: Payload) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => ApiError::PayloadTooLarge,
            PayloadError::Incomplete(_) => ApiError::ClientGone,
            _ => ApiError::field(BODY, "is not encoded as the headers say"),
        })?;
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(ApiError::PayloadTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde would take the fields of a struct from an array as well.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::field(BODY, "must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let inner: &serde_json::Error = error.inner();
        if inner.is_data() {
            wrong_field(&error, BODY)
        } else if inner.is_syntax() && error.path().iter().next().is_some() {
            ApiError::field(error.path().to_string(), format!("is not valid: {inner}"))
        } else {
            not_json(inner)
        }
    })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// `serde_json`'s words for broken syntax are a fixed list, with a place, and repeat nothing of the text.
fn not_json(error: &serde_json::Error) -> ApiError {
    ApiError::field(BODY, format!("is not valid JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use futures_util::{Stream, stream};

    use super::*;

    type Chunk = Result<Bytes, PayloadError>;

    async fn read_json(chunks: impl Stream<Item = Chunk> + 'static) -> Result<(), ApiError> {
        let mut payload = Payload::Stream { payload: Box::pin(chunks) as _ };
        let request = TestRequest::default().insert_header(header::ContentType::json());
        let request = request.to_http_request();
        let read = Json::<serde_json::Value>::from_request(&request, &mut payload).await;
        read.map(drop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for_forever() {
        let chunks = stream::iter([Ok(Bytes::from_static(b"{"))]).chain(stream::pending());
        let started = tokio::time::Instant::now();
        let read = read_json(chunks).await;
        assert!(matches!(read, Err(ApiError::RequestTimeout)), "{read:?}");
        assert!(started.elapsed() >= BODY_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_from_a_wrong_one() {
        let read = async |error| read_json(stream::iter([Ok(Bytes::from_static(b"{")), Err(error)])).await;
        let gone = read(PayloadError::Incomplete(None)).await;
        assert!(matches!(gone, Err(ApiError::ClientGone)), "{gone:?}");
        let wrong = read(PayloadError::EncodingCorrupted).await;
        assert!(matches!(wrong, Err(ApiError::InvalidRequest(_))), "{wrong:?}");
    }
}
