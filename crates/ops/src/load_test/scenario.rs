use std::collections::BTreeMap;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use hyper::http::uri::PathAndQuery;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::LoadOptions;

/// One kind of request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What reports call it.
    pub name: String,
    /// `GET` when nothing is said.
    #[serde(default, deserialize_with = "method")]
    pub method: Method,
    /// From the slash on, with the query.
    #[serde(deserialize_with = "path")]
    pub path: PathAndQuery,
    /// None that carries a secret.
    #[serde(default, deserialize_with = "headers")]
    pub headers: HeaderMap,
    /// Text as it is; anything else as JSON.
    #[serde(default)]
    pub body: Option<Value>,
    /// Whether the token is sent with it.
    #[serde(default)]
    pub token: bool,
    /// The statuses that count as good; empty: every 2xx.
    #[serde(default)]
    pub expect: Vec<u16>,
    /// Its share among the scenarios that run together; those without run one after another.
    #[serde(default)]
    pub weight: Option<u32>,
    /// How it is run when the command line does not say; not together with `weight`.
    #[serde(default)]
    pub load: LoadOptions,
}

impl Scenario {
    /// The three that are there without a file: `/health` (50 clients, 500 requests), the list of agents (10, 100) and the
    /// caller's own status (20, 200).
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        [
            ("health", "/health", false, 50, 500),
            ("agents", "/api/v1/agents", true, 10, 100),
            ("auth-status", "/api/v1/auth/status", true, 20, 200),
        ]
        .map(|(name, path, token, concurrency, requests)| Self {
            name: name.to_owned(),
            method: Method::GET,
            path: PathAndQuery::from_static(path),
            headers: HeaderMap::new(),
            body: None,
            token,
            expect: vec![200],
            weight: None,
            load: LoadOptions { concurrency: Some(concurrency), requests: Some(requests), ..LoadOptions::default() },
        })
        .into()
    }

    /// Whether an answer with this status is what it is about.
    #[must_use]
    pub fn expects(&self, status: u16) -> bool {
        if self.expect.is_empty() { (200..300).contains(&status) } else { self.expect.contains(&status) }
    }

    /// The body's bytes, and the headers with its type.
    pub(super) fn content(&self) -> (HeaderMap, Bytes) {
        let mut headers = self.headers.clone();
        let body = match &self.body {
            None => Bytes::new(),
            Some(Value::String(text)) => Bytes::from(text.clone()),
            Some(value) => {
                headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
                Bytes::from(value.to_string())
            }
        };
        (headers, body)
    }
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Method, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Methods are case-sensitive: `get` would be another one.
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let found = known.into_iter().find(|method| method.as_str() == text);
    found.ok_or_else(|| de::Error::custom("must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"))
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathAndQuery, D::Error> {
    let text = String::deserialize(deserializer)?;
    let path = (text.starts_with('/') && text.is_ascii()).then(|| text.parse().ok()).flatten();
    path.ok_or_else(|| de::Error::custom("must be a path that begins with a slash, percent-encoded"))
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderMap, D::Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in BTreeMap::<String, String>::deserialize(deserializer)? {
        let wrong = |what: &str| de::Error::custom(format!("{name}: {what}"));
        let header: HeaderName = name.parse().map_err(|_| wrong("is no name of a header"))?;
        if [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(&header) {
            return Err(wrong("secrets do not belong in this file: say \"token\": true"));
        }
        if [HOST, CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING].contains(&header) {
            return Err(wrong("is set by the load test"));
        }
        headers.insert(header, value.parse().map_err(|_| wrong("its value is not printable text"))?);
    }
    Ok(headers)
}
