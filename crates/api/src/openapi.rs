//! The interface as a document. What each operation takes and answers stands at its handler; what holds for operations by
//! what they are, such as the failures that they share, is added here.

pub(crate) mod schemas;

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use parlant_auth_bridge::{Permission, Reason};
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;

use crate::error::Class;
use crate::routes::Described;
use crate::{ApiError, Standing};

/// The headers of answers: name, type, what it says.
const HEADERS: [(&str, &str, &str); 11] = [
    ("Allow", "string", "The methods that the path answers"),
    ("ETag", "string", "The version, for `If-Match`"),
    ("Link", "string", "The address of the next page, with `rel=\"next\"` (RFC 8288); absent on the last one"),
    ("Location", "string", "The address of what was made"),
    ("Retry-After", "integer", "Seconds to wait before trying again"),
    ("WWW-Authenticate", "string", "How to authenticate"),
    ("X-RateLimit-Limit", "integer", "What is allowed"),
    ("X-RateLimit-Remaining", "integer", "What is left"),
    ("X-RateLimit-Reset", "integer", "Seconds until there is more"),
    (
        "X-Request-ID",
        "string",
        "The request's own id if it is a safe one, else a new one; it is in every line of the log",
    ),
    ("traceparent", "string", "The request's trace goes on, or a new one begins (W3C Trace Context)"),
];

/// The headers of every answer.
const ALWAYS: [&str; 2] = ["X-Request-ID", "traceparent"];
/// Those of every answer that counts against a limit.
const LIMIT: [&str; 3] = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
/// What answers however often it is asked.
const UNLIMITED: [&str; 4] = ["/health", "/livez", "/metrics", "/readyz"];

/// The interface as an `OpenAPI` 3.1 document: what `/openapi.json` answers.
#[must_use]
pub fn openapi() -> Value {
    // It is made of strings and maps.
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    let failures = failures();
    let codes: Vec<_> = failures.values().flatten().map(|failure| failure.class.code).collect();
    let components = &mut document["components"];
    components["schemas"]["Failure"]["properties"]["code"]["enum"] = json!(codes);
    components["headers"] = HEADERS
        .iter()
        .map(|(name, kind, description)| {
            ((*name).to_owned(), json!({ "description": description, "schema": { "type": kind } }))
        })
        .collect();
    components["responses"] =
        failures.iter().map(|(status, failures)| (format!("Error{status}"), response(failures))).collect();
    components["securitySchemes"] = json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "A session's token, raw or as Better Auth signed it, or a JWT when a key is configured",
        },
        "secureCookie": {
            "type": "apiKey", "in": "cookie", "name": "__Secure-better-auth.session_token",
            "description": "Sim's cookie under https",
        },
        "cookie": {
            "type": "apiKey", "in": "cookie", "name": "better-auth.session_token",
            "description": "Sim's cookie under http",
        },
        "scrape": { "type": "http", "scheme": "bearer", "description": "`METRICS_TOKEN`, where one is set" },
    });
    let paths = &mut document["paths"];
    // One handler answers both.
    paths["/readyz"] = paths["/health"].clone();
    paths["/readyz"]["get"]["operationId"] = json!("readyz");
    for (path, item) in entries(paths) {
        for (_, operation) in entries(item) {
            complete(path, operation);
        }
    }
    document
}

fn entries(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// Adds to an operation what follows from what it is.
fn complete(path: &str, operation: &mut Value) {
    let mut statuses = vec![500];
    let limit = if UNLIMITED.contains(&path) { &LIMIT[..0] } else { &LIMIT };
    if !limit.is_empty() {
        statuses.push(429);
    }
    if path.starts_with("/api/") {
        statuses.push(503);
        if operation.get("security").is_none() {
            operation["security"] = json!([{ "bearer": [] }, { "secureCookie": [] }, { "cookie": [] }]);
        }
    }
    if operation["security"] != json!([{}]) {
        statuses.push(401);
    }
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        without_null(&mut parameter["schema"]);
        statuses.push(if parameter["in"] == "path" { 404 } else { 400 });
    }
    if let Some(body) = operation.get_mut("requestBody") {
        statuses.extend([400, 408, 413, 415]);
        for (_, media) in entries(&mut body["content"]) {
            without_null(&mut media["schema"]);
        }
    }
    let responses = &mut operation["responses"];
    for status in statuses {
        let status = status.to_string();
        if responses.get(&status).is_none() {
            responses[status] = json!({});
        }
    }
    for (status, response) in entries(responses) {
        if status.starts_with(['4', '5']) && response.get("content").is_none() {
            *response = json!({ "$ref": format!("#/components/responses/Error{status}") });
            continue;
        }
        if response["description"].as_str().is_none_or(str::is_empty) {
            let reason = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok()?.canonical_reason());
            response["description"] = json!(reason);
        }
        let own = response["headers"].as_object().into_iter().flat_map(Map::keys).map(String::as_str);
        response["headers"] = headers(own.chain(ALWAYS).chain(limit.iter().copied()));
    }
}

/// What is not given is absent; it is never `null`.
fn without_null(schema: &mut Value) {
    let null = |kind: &Value| *kind == "null" || kind["type"] == "null";
    for several in ["type", "oneOf"] {
        let kinds = schema.get_mut(several).and_then(Value::as_array_mut);
        let Some(kinds) = kinds else { continue };
        kinds.retain(|kind| !null(kind));
        if let [only] = &kinds[..] {
            let only = only.clone();
            if several == "type" {
                schema["type"] = only;
            } else {
                *schema = only;
            }
        }
    }
}

fn headers<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    names.map(|name| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))).collect()
}

/// How a client is told of a failure.
struct Failure {
    class: Class,
    details: Option<Value>,
    headers: Vec<&'static str>,
}

/// Every failure that a client can meet, by status.
fn failures() -> BTreeMap<u16, Vec<Failure>> {
    let cause = || "out of reach".into();
    let errors = [
        ApiError::field("name", "is required"),
        ApiError::AuthenticationRequired,
        ApiError::InvalidToken(Reason::Expired),
        ApiError::WorkspaceAccessDenied {
            workspace_id: "00000000-0000-4000-8000-00000000000b".into(),
            user_id: "Zq3vV0c1Y8".into(),
            required: Permission::Write,
        },
        ApiError::AgentNotFound,
        ApiError::SessionNotFound,
        ApiError::RequestTimeout,
        ApiError::AgentNameTaken,
        ApiError::SessionEnded,
        ApiError::VersionConflict,
        ApiError::PayloadTooLarge,
        ApiError::UnsupportedMediaType,
        ApiError::OriginRefused,
        ApiError::LimitExceeded { limit: 100 },
        ApiError::RateLimited(Standing {
            limit: 200,
            remaining: 0,
            wait: Duration::from_secs(1),
            reset: Duration::from_secs(20),
        }),
        ApiError::Internal(cause()),
        ApiError::Unavailable(cause()),
    ];
    let told = errors.iter().map(|error| Failure {
        class: error.class(),
        details: error.details(),
        headers: error.headers().iter().filter_map(|(header, _)| known(header.as_str())).collect(),
    });
    let unrouted = [(StatusCode::NOT_FOUND, vec![]), (StatusCode::METHOD_NOT_ALLOWED, vec!["Allow"])];
    let unrouted =
        unrouted.map(|(status, headers)| Failure { class: Class::of_status(status), details: None, headers });
    let mut by_status = BTreeMap::<_, Vec<_>>::new();
    for failure in told.chain(unrouted) {
        by_status.entry(failure.class.status.as_u16()).or_default().push(failure);
    }
    by_status
}

/// The name of a header as it is written here.
fn known(name: &str) -> Option<&'static str> {
    HEADERS.iter().map(|(known, ..)| *known).find(|known| known.eq_ignore_ascii_case(name))
}

/// The answer to those failures, which have one status.
fn response(failures: &[Failure]) -> Value {
    let sentences: Vec<_> =
        failures.iter().map(|Failure { class, .. }| format!("`{}`: {}", class.code, class.message)).collect();
    let examples: Map<_, _> =
        failures.iter().map(|failure| (failure.class.code.to_owned(), example(failure))).collect();
    let own = failures.iter().flat_map(|failure| &failure.headers).copied();
    json!({
        "description": sentences.join(". "),
        "headers": headers(own.chain(ALWAYS).chain(LIMIT)),
        "content": {
            "application/json": { "schema": { "$ref": "#/components/schemas/Error" }, "examples": examples },
        },
    })
}

fn example(Failure { class, details, .. }: &Failure) -> Value {
    json!({ "value": { "error": {
        "code": class.code,
        "message": class.message,
        "details": details,
        "timestamp": "2026-01-01T12:00:00.000000Z",
        "request_id": "019ab7d2-4c1e-7c3a-9f0b-2d6a8e41b7f5",
    } } })
}
