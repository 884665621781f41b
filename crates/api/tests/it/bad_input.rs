//! Whatever a client sends: the error envelope, the field's name, no 500, and nothing written.

use parlant_test_support::{TestDatabase, database};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{Answer, Caller, People, Server, answer};

/// The routes that read a body, with one that they accept.
struct Route {
    method: Method,
    path: String,
    good: Value,
    /// Fields without which there is nothing to do.
    required: &'static [&'static str],
}

struct House {
    database: TestDatabase,
    server: Server,
    people: People,
    agent: String,
    session: String,
}

impl House {
    async fn new() -> Self {
        let database = database().await;
        let people = People::of(&database.sim().await).await;
        let server = Server::start(&database);
        let ada = server.caller(&people.ada_token);
        let new = json!({"workspace_id": people.workspace, "name": "Guide"});
        let agent = ada.post("/api/v1/agents", &new).await.expect(201)["id"].clone();
        let new = json!({"workspace_id": people.workspace, "agent_id": agent});
        let session = ada.post("/api/v1/agents/sessions", &new).await.expect(201)["session_id"].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self { agent: text(&agent), session: text(&session), database, server, people }
    }

    fn ada(&self) -> Caller<'_> {
        self.server.caller(&self.people.ada_token)
    }

    fn routes(&self) -> Vec<Route> {
        let route = |method, path: String, required, good| Route { method, path, good, required };
        let workspace_id = &self.people.workspace;
        vec![
            route(
                Method::POST,
                "/api/v1/agents".into(),
                &["workspace_id", "name"],
                json!({
                    "workspace_id": workspace_id, "name": "New", "description": "d", "guidelines": ["g"],
                    "tools": [{"t": 1}], "model": "m", "temperature": 1
                }),
            ),
            route(
                Method::PATCH,
                format!("/api/v1/agents/{}", self.agent),
                &[],
                json!({
                    "name": "New", "description": "d", "guidelines": ["g"], "tools": [{"t": 1}], "model": "m",
                    "temperature": 1
                }),
            ),
            route(
                Method::POST,
                "/api/v1/agents/sessions".into(),
                &["workspace_id", "agent_id"],
                json!({"workspace_id": workspace_id, "agent_id": self.agent, "context": {"a": 1}}),
            ),
            route(
                Method::POST,
                format!("/api/v1/agents/sessions/{}/messages", self.session),
                &["content"],
                json!({
                    "content": "Hi", "metadata": {"a": 1}, "message_type": "user", "session_id": self.session
                }),
            ),
            route(Method::POST, "/api/v1/auth/validate".into(), &["token"], json!({"token": "t"})),
            route(
                Method::POST,
                format!("/api/v1/auth/workspaces/{workspace_id}/context"),
                &[],
                json!({"agent_id": self.agent}),
            ),
        ]
    }

    /// Everything that the bridge has stored.
    async fn stored(&self) -> Vec<String> {
        let client = self.database.superuser().await;
        let mut all = Vec::new();
        let tables = "select tablename::text from pg_tables where tablename like 'parlant\\_%' order by 1";
        for table in client.query(tables, &[]).await.unwrap() {
            let table: &str = table.get(0);
            let sql = format!("select t::text from {table} t order by 1");
            for row in client.query(&sql, &[]).await.unwrap() {
                all.push(row.get(0));
            }
        }
        assert!(all.len() >= 2, "an agent and a session");
        all
    }

    async fn send(&self, route: &Route, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.ada().request(route.method.clone(), &route.path);
        answer(request.header("content-type", "application/json").body(body)).await
    }

    async fn send_json(&self, route: &Route, body: &Value) -> Answer {
        self.send(route, body.to_string()).await
    }
}

/// The names in `details.field_errors`.
#[track_caller]
fn wrong_fields(answer: &Answer) -> Vec<String> {
    let details = answer.refused(400, "INVALID_REQUEST");
    let fields = details["field_errors"].as_object().unwrap_or_else(|| panic!("{answer:?}"));
    assert!(!fields.is_empty(), "{answer:?}");
    fields.keys().cloned().collect()
}

/// What no field of that name may be.
fn bad_values(name: &str) -> Vec<Value> {
    let long = |length| Value::from("x".repeat(length));
    let nul = json!("a\0b");
    let deep = (0..100).fold(json!(1), |value, _| json!([value]));
    let numbers = [json!(1), json!(-1), json!(1.5), json!(u64::MAX), json!(true)];
    let mut bad = match name {
        "name" => vec![json!(""), json!("  "), long(256), nul, json!("a\nb")],
        "description" => vec![long(4001), nul],
        "model" => vec![json!(""), long(256), nul],
        "guidelines" | "tools" => vec![
            json!("g"),
            json!([1]),
            json!([null]),
            json!(["a\0b"]),
            json!([{"a\0": 1}]),
            json!([deep]),
            json!(vec!["g"; 201]),
        ],
        "temperature" => vec![json!(-0.1), json!(2.1), json!(1e300), json!("1"), json!(u64::MAX)],
        "agent_id" | "session_id" => {
            vec![json!(""), json!("x"), json!("018f3f3e-0000-7000-8000-00000000000"), nul, long(10_000)]
        }
        "context" | "metadata" => vec![
            json!("text"),
            json!([]),
            json!({"a": "b\0c"}),
            json!({"a\0": {}}),
            json!({ "a": deep }),
            json!({ "a": "x".repeat(70_000) }),
        ],
        "content" => vec![json!(""), long(32_001), nul],
        "message_type" => vec![json!("agent"), json!("USER"), json!("")],
        "workspace_id" | "token" => Vec::new(),
        other => panic!("{other}"),
    };
    if name != "temperature" {
        bad.extend(numbers);
    }
    if !["guidelines", "tools"].contains(&name) {
        bad.push(json!([[]]));
    }
    if !["context", "metadata"].contains(&name) {
        bad.push(json!({"a": 1}));
    }
    bad
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let house = House::new().await;
    let before = house.stored().await;
    for route in house.routes() {
        for name in route.good.as_object().unwrap().keys() {
            for bad in bad_values(name) {
                let mut body = route.good.clone();
                body[name] = bad.clone();
                let answer = house.send_json(&route, &body).await;
                let wrong = wrong_fields(&answer);
                assert_eq!(wrong.len(), 1, "{answer:?}");
                assert!(wrong[0].starts_with(name), "{} {name}={:.100}: {answer:?}", route.path, bad.to_string());
            }
        }
        for name in route.required {
            for null in [false, true] {
                let mut body = route.good.clone();
                if null {
                    body[name] = Value::Null;
                } else {
                    body.as_object_mut().unwrap().remove(*name);
                }
                assert_eq!(wrong_fields(&house.send_json(&route, &body).await), [*name]);
            }
        }
        for name in ["user_id", "id", "status", "x", "né\"e", &"long".repeat(1000)] {
            let mut body = route.good.clone();
            body[name] = json!(1);
            let wrong = wrong_fields(&house.send_json(&route, &body).await);
            assert!(name.starts_with(&wrong[0]), "{wrong:?}");
        }
    }
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn several_wrong_fields_are_named_together() {
    let house = House::new().await;
    let body = json!({
        "workspace_id": house.people.workspace, "name": "", "description": "\0", "temperature": 3, "tools": [1]
    });
    let answer = house.ada().post("/api/v1/agents", &body).await;
    assert_eq!(wrong_fields(&answer), ["description", "name", "temperature", "tools"]);
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    let house = House::new().await;
    let before = house.stored().await;
    for route in house.routes() {
        let good = route.good.to_string();
        let inner = &good[1..good.len() - 1];
        let name = route.good.as_object().unwrap().keys().next().unwrap().clone();
        let texts: Vec<Vec<u8>> = vec![
            b"{".to_vec(),
            good.as_bytes()[..good.len() - 1].to_vec(),
            format!("{good} x").into_bytes(),
            format!("{good}{good}").into_bytes(),
            b"null".to_vec(),
            b"[]".to_vec(),
            b"1e400".to_vec(),
            b"\"text\"".to_vec(),
            b"\xff\xfe".to_vec(),
            [b"{\"", name.as_bytes(), b"\": \"\xc3\x28\"}"].concat(),
            format!(r#"{{"{name}": "\ud800"}}"#).into_bytes(),
            format!(r#"{{"{name}": 1e400}}"#).into_bytes(),
            format!(r#"{{"{name}": {}}}"#, "9".repeat(400)).into_bytes(),
            format!(r#"{{"{name}": {}{}}}"#, "[".repeat(10_000), "]".repeat(10_000)).into_bytes(),
            format!("{}{}", "[".repeat(200), "]".repeat(200)).into_bytes(),
            format!(r#"{{{inner}, "{name}": null}}"#).into_bytes(),
            format!("\u{feff}{good}").into_bytes(),
            b"\0".to_vec(),
        ];
        for text in texts {
            let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
            let answer = house.send(&route, text).await;
            assert_eq!(answer.status, 400, "{} {shown}: {answer:?}", route.path);
            wrong_fields(&answer);
            assert!(answer.text.len() < 1000, "{shown}: {answer:?}");
        }
        if !route.required.is_empty() {
            wrong_fields(&house.send(&route, "").await);
            wrong_fields(&house.send(&route, "{}").await);
        }
    }
    assert_eq!(house.stored().await, before);
}

#[tokio::test]
async fn other_types_of_content_are_refused() {
    let house = House::new().await;
    let before = house.stored().await;
    for route in house.routes() {
        for content_type in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/jsonp"),
            Some("application/json; charset=utf-16"),
            Some("application/json; charset=iso-8859-1"),
            Some("json"),
            Some(""),
        ] {
            let request = house.ada().request(route.method.clone(), &route.path);
            let mut request = request.body(route.good.to_string());
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            answer(request).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
        }
        let request = house.ada().request(route.method.clone(), &route.path);
        let compressed = request
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(vec![0x1f, 0x8b]);
        answer(compressed).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    assert_eq!(house.stored().await, before);

    let request = house.server.request(Method::POST, "/api/v1/auth/validate");
    let spelled = request.header("content-type", "Application/JSON; charset=\"UTF-8\"");
    answer(spelled.body(r#"{"token":"t"}"#)).await.expect(200);
}

#[tokio::test]
async fn a_body_may_have_256_kib() {
    let house = House::new().await;
    let before = house.stored().await;
    for route in house.routes() {
        let good = route.good.to_string();
        let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
        for length in [256 * 1024 + 1, 5 * 1024 * 1024] {
            let declared = house.send(&route, padded(length)).await;
            declared.refused(413, "PAYLOAD_TOO_LARGE");
            let chunks = padded(length)
                .into_bytes()
                .chunks(60_000)
                .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
                .collect::<Vec<_>>();
            let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
            house.send(&route, stream).await.refused(413, "PAYLOAD_TOO_LARGE");
        }
    }
    assert_eq!(house.stored().await, before);
    let token = format!(r#"{{"token":"{}"}}"#, "t".repeat(256 * 1024 - 12));
    let request = house.server.request(Method::POST, "/api/v1/auth/validate");
    let request = request.header("content-type", "application/json");
    assert_eq!(answer(request.body(token)).await.expect(200), json!({"valid": false}));
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let house = House::new().await;
    let workspace = &house.people.workspace;
    let messages = format!("/api/v1/agents/sessions/{}/messages", house.session);
    let lists = [
        "/api/v1/agents".to_owned(),
        format!("/api/v1/agents/workspaces/{workspace}/agents"),
        "/api/v1/agents/sessions".to_owned(),
    ];
    let too_much = "9".repeat(400);
    let mut cases = vec![
        ("/api/v1/agents/sessions", "agent_id=x".to_owned(), "agent_id"),
        ("/api/v1/agents/sessions", "agent_id=".to_owned(), "agent_id"),
        ("/api/v1/agents/sessions", "status=open".to_owned(), "status"),
        ("/api/v1/agents/sessions", "status=%00".to_owned(), "status"),
        (&messages, "offset=-1".to_owned(), "offset"),
        (&messages, format!("offset={too_much}"), "offset"),
        (&messages, "after=x".to_owned(), "after"),
        (&messages, "after=1&offset=1".to_owned(), "after"),
        (&messages, "cursor=x".to_owned(), "cursor"),
    ];
    for path in lists.iter().chain([&messages]) {
        for limit in ["0", "101", "-1", "x", "", "1.5", "%00", "%ff", "+1", too_much.as_str()] {
            cases.push((path, format!("limit={limit}"), "limit"));
        }
        cases.push((path, "limit=1&limit=2".to_owned(), "limit"));
        cases.push((path, "workspaceid=a".to_owned(), "workspaceid"));
        cases.push((path, "%ff%00=a".to_owned(), "\u{fffd}\0"));
    }
    for path in &lists {
        for cursor in ["", "x", "%00", "%ff", "018f3f3e-0000-7000-8000-000000000000"] {
            cases.push((path, format!("cursor={cursor}"), "cursor"));
        }
    }
    for (path, query, name) in cases {
        let answer = house.ada().get(&format!("{path}?{query}")).await;
        assert_eq!(wrong_fields(&answer), [name], "{path}?{query}");
    }
    // A page far beyond the end is empty.
    let beyond = house.ada().get(&format!("{messages}?offset=4294967295")).await;
    assert_eq!(beyond.expect(200)["messages"], json!([]));
    let beyond = house.ada().get(&format!("{messages}?after=4294967295")).await;
    assert_eq!(beyond.expect(200)["messages"], json!([]));
}

#[tokio::test]
async fn a_workspace_that_is_no_workspace_is_refused() {
    let house = House::new().await;
    let long = "w".repeat(5000);
    for id in ["", "x", "%00", "%ff", "'; drop table parlant_agent; --", long.as_str()] {
        let path = format!("/api/v1/agents?workspace_id={id}");
        house.ada().get(&path).await.refused(403, "WORKSPACE_ACCESS_DENIED");
        let path = format!("/api/v1/agents/sessions?workspace_id={id}");
        house.ada().get(&path).await.refused(403, "WORKSPACE_ACCESS_DENIED");
    }
    for id in ["", "x", "\0", "\u{10ffff}", &"w".repeat(100_000)] {
        let body = json!({"workspace_id": id, "name": "n"});
        let answer = house.ada().post("/api/v1/agents", &body).await;
        let details = answer.refused(403, "WORKSPACE_ACCESS_DENIED");
        assert_eq!(details["workspace_id"], id);
    }
}

#[tokio::test]
async fn an_id_that_is_no_id_names_nothing() {
    let house = House::new().await;
    for id in [
        "x",
        "%00",
        "%ff",
        "018f3f3e00007000800000000000000a",
        "%7B018f3f3e-0000-7000-8000-00000000000a%7D",
        "urn:uuid:018f3f3e-0000-7000-8000-00000000000a",
        "018f3f3e-0000-7000-8000-00000000000a",
        "99999999999999999999999999999999999999",
        "é",
    ] {
        let path = format!("/api/v1/agents/{id}");
        house.ada().get(&path).await.refused(404, "AGENT_NOT_FOUND");
        house.ada().patch(&path, &json!({})).await.refused(404, "AGENT_NOT_FOUND");
        house.ada().delete(&path).await.refused(404, "AGENT_NOT_FOUND");
        let path = format!("/api/v1/agents/sessions/{id}");
        house.ada().get(&path).await.refused(404, "SESSION_NOT_FOUND");
        house.ada().delete(&path).await.refused(404, "SESSION_NOT_FOUND");
        let path = format!("{path}/messages");
        house.ada().get(&path).await.refused(404, "SESSION_NOT_FOUND");
        let message = json!({"content": "Hi"});
        house.ada().post(&path, &message).await.refused(404, "SESSION_NOT_FOUND");
    }
    // The path's session is the one that counts.
    let path = format!("/api/v1/agents/sessions/{}/messages", house.session);
    let other = json!({"content": "Hi", "session_id": house.agent});
    assert_eq!(wrong_fields(&house.ada().post(&path, &other).await), ["session_id"]);
}

#[tokio::test]
async fn wrong_headers_are_named_or_refused() {
    let house = House::new().await;
    let before = house.stored().await;
    let path = format!("/api/v1/agents/sessions/{}/messages", house.session);
    let long = "k".repeat(256);
    for key in [&b""[..], b"a b", b"\xc3\xa9", b"\xff", long.as_bytes()] {
        let request = house.ada().request(Method::POST, &path).header("idempotency-key", key);
        let answer = answer(request.json(&json!({"content": "Hi"}))).await;
        assert_eq!(wrong_fields(&answer), ["Idempotency-Key"]);
    }
    let request = house.ada().request(Method::POST, &path);
    let twice = request.header("idempotency-key", "a").header("idempotency-key", "b");
    let answered = answer(twice.json(&json!({"content": "Hi"}))).await;
    assert_eq!(wrong_fields(&answered), ["Idempotency-Key"]);

    let path = format!("/api/v1/agents/{}", house.agent);
    for if_match in [&b"1"[..], b"\"1", b"\xff", b"W/1", b"\"1\",,"] {
        let request = house.ada().request(Method::PATCH, &path).header("if-match", if_match);
        let answer = answer(request.json(&json!({"name": "New"}))).await;
        assert_eq!(wrong_fields(&answer), ["If-Match"]);
    }
    for if_match in ["\"99999999999999999999\"", "\"-1\"", "\"0\"", "\"x\"", "W/\"1\""] {
        let request = house.ada().request(Method::PATCH, &path).header("if-match", if_match);
        let answer = answer(request.json(&json!({"name": "New"}))).await;
        answer.refused(412, "VERSION_CONFLICT");
    }
    for authorization in [&b"Bearer"[..], b"Bearer ", b"Bearer \xff", b"bearer a b", b"Bearer ../../"] {
        let request = house.server.request(Method::GET, "/api/v1/auth/me");
        let answer = answer(request.header("authorization", authorization)).await;
        answer.refused(401, "INVALID_TOKEN");
    }
    for nothing in ["Basic dTpw", "", "Digest x"] {
        let request = house.server.request(Method::GET, "/api/v1/auth/me");
        let answer = answer(request.header("authorization", nothing)).await;
        answer.refused(401, "AUTHENTICATION_REQUIRED");
    }
    assert_eq!(house.stored().await, before);
}
