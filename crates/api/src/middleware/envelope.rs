use actix_web::web::Bytes;
use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::error::Class;

#[derive(Serialize)]
struct Envelope<'a> {
    error: Failure<'a>,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'static str,
    message: &'static str,
    details: Option<Value>,
    timestamp: String,
    request_id: &'a str,
}

/// The error envelope as JSON.
pub(super) fn envelope(class: Class, details: Option<Value>, request_id: &str) -> Bytes {
    let envelope = Envelope {
        error: Failure {
            code: class.code,
            message: class.message,
            details,
            timestamp: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            request_id,
        },
    };
    serde_json::to_vec(&envelope).unwrap_or_default().into()
}
