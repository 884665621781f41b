//! What must never be seen: credentials, secrets, addresses and messages are sent through every route, well and badly,
//! with and without a database, while everything is logged that can be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlant_engine::echo::Echo;
use parlant_settings::Settings;
use parlant_test_support::{ChaosProxy, SimTables, TestDatabase, database, signed, signed_cookie};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::program::{output, text};
use crate::serve::{client, converse, serve, user};

const EVERYTHING: &str = "debug,parlant=trace";
const AUTH_SECRET: &str = "canary-secret-of-better-auth-0123456789";
const JWT_SECRET: &str = "canary-secret-of-jwts-0123456789-0123456789";
const ENGINE_TOKEN: &str = "canary-token-of-the-engine";
const METRICS_TOKEN: &str = "canary-token-of-scrapers";
const MESSAGE: &str = "canary-message";
const GARBAGE: &str = "canary-garbage";
const QUERY: &str = "canary-query";
const HEADER: &str = "canary-header";
const PATH: &str = "canary-path";

/// Nothing of this may be seen anywhere.
struct Canaries(Vec<String>);

impl Canaries {
    fn new(database: &TestDatabase, token: &str) -> Self {
        let url = database.url();
        let password = url.split(['@', ':']).nth(2).unwrap();
        let signature = signed(token, AUTH_SECRET)[token.len() + 1..].to_owned();
        let cookie = signed_cookie(token, AUTH_SECRET)[token.len() + 1..].to_owned();
        let texts = [password, token, &signature, &cookie, "@example.com"];
        // "canary" is part of every other one.
        Self(texts.into_iter().chain(["canary"]).map(str::to_owned).collect())
    }

    #[track_caller]
    fn absent(&self, place: &str, text: &str) {
        for canary in &self.0 {
            if let Some(at) = text.find(canary) {
                let around = text.get(at.saturating_sub(300)..).unwrap_or(&text[at..]);
                panic!("{canary} is in {place}: {}", around.chars().take(700).collect::<String>());
            }
        }
    }
}

/// As a service would: HS256.
fn jwt(user: &str, secret: &str) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let expiry = (chrono::Utc::now() + chrono::TimeDelta::minutes(5)).timestamp();
    let claims = json!({ "sub": user, "exp": expiry, "jti": "canary-jti" });
    let token = format!("{}.{}", encode(json!({ "alg": "HS256", "typ": "JWT" })), encode(claims));
    let signed = signed(&token, secret);
    let signature = signed[token.len() + 1..].replace('+', "-").replace('/', "_");
    format!("{token}.{}", signature.trim_end_matches('='))
}

/// The methods and patterns of all routes, which a fresh server counts as 0.
async fn routes(address: &str) -> BTreeSet<(String, String)> {
    let scrape = client().get(format!("{address}/metrics")).bearer_auth(METRICS_TOKEN);
    let text = scrape.send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
    let series = text.lines().filter_map(|line| line.strip_prefix("parlant_http_requests_total{"));
    let label = |series: &str, name: &str| {
        let (_, rest) = series.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let routes = series.map(|series| (label(series, "method"), label(series, "endpoint")));
    routes.filter(|(method, endpoint)| method != "OTHER" && endpoint != "unmatched").collect()
}

fn begins_well(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS
}

struct House {
    client: reqwest::Client,
    address: String,
    canaries: Canaries,
    token: String,
    jwt: String,
    workspace: String,
    agent: String,
    session: String,
}

impl House {
    /// An agent with a session in the workspace, and what each route is asked with.
    async fn furnish(mut self) -> Self {
        let agent = json!({ "name": "Helper", "workspace_id": self.workspace });
        self.agent = self.make("/api/v1/agents", &agent, "id").await;
        let session = json!({ "agent_id": self.agent, "workspace_id": self.workspace });
        self.session = self.make("/api/v1/agents/sessions", &session, "session_id").await;
        self
    }

    async fn make(&self, path: &str, body: &Value, id: &str) -> String {
        let request = self.client.post(format!("{}{path}", self.address)).bearer_auth(&self.token).json(body);
        let answer: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        answer[id].as_str().unwrap().to_owned()
    }

    fn path(&self, endpoint: &str) -> String {
        let id = match endpoint {
            _ if endpoint.contains("/workspaces/") => &self.workspace,
            _ if endpoint.contains("/sessions/") => &self.session,
            _ => &self.agent,
        };
        endpoint.replace("{id}", id)
    }

    fn good_body(&self, method: &str, endpoint: &str) -> Value {
        match (method, endpoint) {
            ("POST", "/api/v1/auth/validate") => json!({ "token": self.token }),
            ("POST", "/api/v1/agents") => {
                json!({ "name": format!("{MESSAGE} {}", rand::random::<u64>()), "description": MESSAGE,
                        "guidelines": [MESSAGE], "tools": [MESSAGE], "workspace_id": self.workspace })
            }
            ("PATCH", _) => json!({ "description": MESSAGE }),
            ("POST", "/api/v1/agents/sessions") => {
                json!({ "agent_id": self.agent, "workspace_id": self.workspace, "context": { MESSAGE: MESSAGE } })
            }
            ("POST", _) if endpoint.ends_with("/messages") => {
                json!({ "content": MESSAGE, "metadata": { MESSAGE: MESSAGE } })
            }
            _ => json!({}),
        }
    }

    /// Sends, and sees that a refusal repeats nothing.
    async fn send(&self, request: RequestBuilder) -> StatusCode {
        let answer = request
            .header("user-agent", HEADER)
            .header("referer", format!("https://example.org/?{QUERY}"))
            .header("traceparent", HEADER)
            .header("x-request-id", format!("{HEADER}/"))
            .header("x-api-key", HEADER)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let head = format!("{:?}", answer.headers());
        // A stream that begins well has no end.
        if !begins_well(status) {
            self.canaries.absent("an answer's head", &head);
            self.canaries.absent("an error's body", &answer.text().await.unwrap_or_default());
        }
        status
    }

    /// Asks the route in every way, well before badly: some bad ways are good enough to delete something. Gives the statuses of the good requests.
    async fn ask(&self, method: &str, endpoint: &str) -> Vec<StatusCode> {
        let parsed: Method = method.parse().unwrap();
        let url = format!("{}{}", self.address, self.path(endpoint));
        let request = |url: &str| {
            let request = self.client.request(parsed.clone(), url);
            if !endpoint.ends_with("/ws") {
                return request;
            }
            let upgrade = request.header("connection", "upgrade").header("upgrade", "websocket");
            upgrade.header("sec-websocket-version", "13").header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
        };
        let bearer = |token: &str| format!("Bearer {token}");
        let cookie = |name: &str| format!("{name}={}", signed_cookie(&self.token, AUTH_SECRET));
        let bad_jwt = jwt("canary-user", "another-secret-another-secret-another");
        let good = [
            (AUTHORIZATION, bearer(&self.token)),
            (AUTHORIZATION, bearer(&signed(&self.token, AUTH_SECRET))),
            (AUTHORIZATION, bearer(&self.jwt)),
            (COOKIE, cookie("better-auth.session_token")),
            (COOKIE, cookie("__Secure-better-auth.session_token")),
            (AUTHORIZATION, bearer(METRICS_TOKEN)),
        ];
        let bad = [
            (AUTHORIZATION, bearer(&signed(&self.token, GARBAGE))),
            (AUTHORIZATION, bearer(GARBAGE)),
            (AUTHORIZATION, bearer(&bad_jwt)),
            (AUTHORIZATION, format!("Basic {GARBAGE}")),
            (AUTHORIZATION, self.token.clone()),
            (COOKIE, format!("better-auth.session_token={GARBAGE}; session={GARBAGE}")),
        ];
        let mut statuses = Vec::new();
        for (name, value) in &good {
            statuses.push(self.send(request(&url).header(name, value).json(&self.good_body(method, endpoint))).await);
        }
        for (name, value) in &bad {
            self.send(request(&url).header(name, value).json(&self.good_body(method, endpoint))).await;
        }
        let long = MESSAGE.repeat(30_000);
        let not_text = [&b"{\"content\":\""[..], MESSAGE.as_bytes(), &[0xff, 0xfe], b"\"}"].concat();
        let bodies: [(&str, Vec<u8>); 7] = [
            ("application/json", format!("{{\"content\":\"{MESSAGE}").into()),
            ("application/json", format!("\"{MESSAGE}\"").into()),
            (
                "application/json",
                json!({ "content": [MESSAGE], "token": [GARBAGE], "name": [MESSAGE] }).to_string().into(),
            ),
            ("application/json", json!({ "unknown": MESSAGE, "content": MESSAGE }).to_string().into()),
            ("application/json", json!({ "content": long }).to_string().into()),
            ("application/json", not_text),
            ("text/plain", MESSAGE.into()),
        ];
        for (kind, body) in bodies {
            self.send(request(&url).bearer_auth(&self.token).header(CONTENT_TYPE, kind).body(body)).await;
        }
        for query in [format!("?token={}&{QUERY}={QUERY}", self.token), format!("?limit={QUERY}&cursor={QUERY}")] {
            self.send(request(&format!("{url}{query}")).bearer_auth(&self.token)).await;
        }
        for (name, value) in [("idempotency-key", HEADER), ("if-match", HEADER), ("last-event-id", HEADER)] {
            self.send(request(&url).bearer_auth(&self.token).header(name, value)).await;
        }
        statuses
    }

    /// Every route, those that take away last and from the inside out.
    async fn ask_all(&self, routes: &BTreeSet<(String, String)>) -> Vec<(String, Vec<StatusCode>)> {
        let mut routes: Vec<_> = routes.iter().collect();
        routes.sort_by_key(|(method, endpoint)| (method == "DELETE", method == "PATCH", endpoint.len()));
        let (deletes, others): (Vec<_>, Vec<_>) = routes.into_iter().partition(|(method, _)| method == "DELETE");
        let mut answers = Vec::new();
        for (method, endpoint) in others.into_iter().chain(deletes.into_iter().rev()) {
            answers.push((format!("{method} {endpoint}"), self.ask(method, endpoint).await));
        }
        for path in [format!("/{PATH}"), format!("/api/v1/agents/{PATH}/{PATH}"), format!("/api/v1/agents/{PATH}")] {
            self.send(self.client.get(format!("{}{path}?{QUERY}", self.address)).bearer_auth(&self.token)).await;
        }
        answers
    }
}

#[tokio::test]
async fn nothing_secret_is_in_logs_metrics_or_errors_whatever_happens() {
    let database = database().await;
    let sim = database.sim().await;
    let ada = sim.user("canary-name").await;
    let (token, workspace) = (sim.session(&ada).await, sim.workspace(&ada).await);
    let proxy = ChaosProxy::start(database.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let echo = Echo::start().unwrap();
    let engine = echo.config().base_url;
    // Nobody listens there.
    let webhook = "http://127.0.0.1:9/canary-webhook";
    let environment = [
        ("SLACK_WEBHOOK_URL", webhook),
        ("ALERT_JSON_WEBHOOK_URL", webhook),
        ("HEARTBEAT_URL", webhook),
        ("ALERT_INTERVAL", "1s"),
        ("BETTER_AUTH_SECRET", AUTH_SECRET),
        ("JWT_SECRET_KEY", JWT_SECRET),
        ("METRICS_TOKEN", METRICS_TOKEN),
        ("PARLANT_BASE_URL", &engine),
        ("PARLANT_API_TOKEN", ENGINE_TOKEN),
        ("LOG_LEVEL", EVERYTHING),
        ("LOG_FILE", file.to_str().unwrap()),
        ("DATABASE_POOL_TIMEOUT", "5s"),
        ("CORS_ORIGINS", "https://example.org"),
        ("RATE_LIMIT_PER_MINUTE", "0"),
    ];
    let (mut server, _directory) = serve(&database.url_through(proxy.address()), &environment);
    let address = server.address().await;
    let house = House {
        client: client(),
        canaries: Canaries::new(&database, &token),
        jwt: jwt(&ada, JWT_SECRET),
        agent: String::new(),
        session: String::new(),
        address,
        token,
        workspace,
    };
    let house = house.furnish().await;
    let routes = routes(&house.address).await;
    assert!(routes.len() > 20, "{routes:?}");

    for (route, statuses) in house.ask_all(&routes).await {
        assert!(statuses.iter().copied().any(begins_well), "{route}: {statuses:?}");
    }
    assert!(!echo.posted().is_empty(), "messages reach the engine");
    let house = house.furnish().await;
    proxy.refuse().await;
    proxy.cut();
    let answers = house.ask_all(&routes).await;
    assert!(answers.iter().flat_map(|(_, statuses)| statuses).any(|status| *status == 503), "{answers:?}");
    // A panic's text may be anything; what is thrown at the parser as well.
    let mut stream = tokio::net::TcpStream::connect(house.address.strip_prefix("http://").unwrap()).await.unwrap();
    stream
        .write_all(format!("GET /{PATH} HTTP/1.1\r\n{GARBAGE}: {GARBAGE}\r\nbad line {GARBAGE}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    house.canaries.absent("the parser's answer", &answer);

    let scrape = client().get(format!("{}/metrics", house.address)).bearer_auth(METRICS_TOKEN);
    house.canaries.absent("/metrics", &scrape.send().await.unwrap().text().await.unwrap());
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));
    for log in [server.log(), std::fs::read_to_string(&file).unwrap()] {
        assert!(log.matches(r#""message":"Request refused""#).count() > 100, "refusals are logged at DEBUG");
        assert!(log.contains(r#""message":"Request not served""#));
        assert!(log.contains("The heartbeat is not heard"));
        house.canaries.absent("the log", &log);
    }
}

/// A Sim, or a Parlant, that is out of its mind, and tells everything it is told.
async fn madhouse() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let number = counter.fetch_add(1, Ordering::Relaxed);
            let mut buffer = vec![0; 16 * 1024];
            let length = stream.read(&mut buffer).await.unwrap_or_default();
            let echo = String::from_utf8_lossy(&buffer[..length]).replace(['\r', '\n', '"'], " ");
            let answer = match number % 4 {
                0 => ("500 Internal Server Error", String::new(), echo),
                1 => ("200 OK", String::new(), format!("{{\"session\":{{\"token\":\"{echo}\"}},\"user\":\"{echo}\"}}")),
                2 => ("302 Found", format!("location: /elsewhere?{QUERY}={echo}\r\n"), String::new()),
                _ => ("200 OK", "content-type: application/json\r\n".to_owned(), format!("{{\"user\":{echo}")),
            };
            let (status, head, body) = answer;
            let answer =
                format!("HTTP/1.1 {status}\r\n{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn nothing_secret_of_what_is_asked_of_sim_or_answered_is_in_the_log() {
    let database = database().await;
    let people = database.sim().await;
    let token = people.session(&people.user("canary-name").await).await;
    let (sim, asked) = madhouse().await;
    let environment = [
        ("AUTH_SOURCE", "http"),
        ("SIM_BASE_URL", sim.as_str()),
        ("BETTER_AUTH_SECRET", AUTH_SECRET),
        ("LOG_LEVEL", EVERYTHING),
    ];
    let (mut server, _directory) = serve(&database.url(), &environment);
    let url = format!("{}/api/v1/auth/me", server.address().await);
    let canaries = Canaries::new(&database, &token);
    while asked.load(Ordering::Relaxed) < 12 {
        let cookie = format!("better-auth.session_token={}", signed_cookie(&token, AUTH_SECRET));
        for request in [client().get(&url).bearer_auth(&token), client().get(&url).header(COOKIE, cookie)] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 503);
            canaries.absent("an error's body", &answer.text().await.unwrap());
        }
    }
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));
    assert!(
        server.log().contains(r#""logger":"hyper_util"#) || server.log().contains(r#""logger":"reqwest"#),
        "libraries are heard"
    );
    canaries.absent("the log", &server.log());
}

#[tokio::test]
async fn nothing_secret_of_what_the_engine_is_told_or_answers_is_seen() {
    let database = database().await;
    let (token, workspace) = user(&database).await;
    let (engine, asked) = madhouse().await;
    let environment =
        [("PARLANT_BASE_URL", engine.as_str()), ("PARLANT_API_TOKEN", ENGINE_TOKEN), ("LOG_LEVEL", EVERYTHING)];
    let (mut server, _directory) = serve(&database.url(), &environment);
    let address = server.address().await;
    let canaries = Canaries::new(&database, &token);
    let messages = converse(&address, &token, &workspace).await;
    let message = json!({ "content": MESSAGE });
    client().post(&messages).bearer_auth(&token).json(&message).send().await.unwrap().error_for_status().unwrap();
    server.wait_for(|_| (asked.load(Ordering::Relaxed) > 12).then_some(())).await;
    for path in ["/metrics", "/api/v1/health/detailed"] {
        let answer = client().get(format!("{address}{path}")).send().await.unwrap();
        canaries.absent(path, &answer.text().await.unwrap());
    }
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));
    canaries.absent("the log", &server.log());
}

#[tokio::test]
async fn a_start_that_fails_shows_no_password() {
    let database = database().await;
    let canaries = Canaries::new(&database, "canary");
    let url = database.url().replace(&canaries.0[0], "canary-password");
    let nobody = "postgres://u:canary-password@127.0.0.1:1/d";
    for url in [url.as_str(), nobody, "postgres://u:canary-password@h:port/d", "canary-password"] {
        let environment = [("DATABASE_URL", url), ("SIM_DATABASE_URL", url), ("LOG_LEVEL", EVERYTHING)];
        canaries.absent("check-config", &text(&output(&["check-config"], &environment)));
        let (mut server, _directory) = serve(url, &[("LOG_LEVEL", EVERYTHING)]);
        let said = |log: &str| {
            let words = ["Waiting for the database", "has problems", "failed"];
            words.iter().any(|word| log.contains(word)).then_some(())
        };
        server.wait_for(said).await;
        canaries.absent("the log of the start", &server.log());
    }
}

#[tokio::test]
async fn debug_shows_nothing_secret() {
    use parlant_auth_bridge::{AuthBridge, Credential, DatabaseSource, Identity, JwtKey, Session, User};

    let database = database().await;
    let canaries = Canaries::new(&database, "canary");
    let url = database.url();
    let pairs = [
        ("DATABASE_URL", url.as_str()),
        ("METRICS_TOKEN", METRICS_TOKEN),
        ("BETTER_AUTH_SECRET", AUTH_SECRET),
        ("JWT_SECRET_KEY", JWT_SECRET),
        ("PARLANT_BASE_URL", "http://parlant"),
        ("PARLANT_API_TOKEN", ENGINE_TOKEN),
    ];
    let mut settings = Settings::from_pairs(pairs);
    let pool_config = parlant_db_pool::Config::from_settings(&mut settings);
    let pool = parlant_db_pool::Pool::new(&pool_config).unwrap();
    let auth_config = parlant_auth_bridge::Config {
        better_auth_secret: Some(AUTH_SECRET.into()),
        ..parlant_auth_bridge::Config::default()
    };
    let auth = AuthBridge::new(&auth_config, Arc::new(DatabaseSource::new(SimTables(pool.clone())))).unwrap();
    let user = User {
        id: "1".to_owned(),
        email: "canary@example.com".to_owned(),
        name: "canary".to_owned(),
        email_verified: true,
        image: Some("canary".to_owned()),
    };
    let session = Session {
        id: "1".to_owned(),
        expires_at: chrono::Utc::now(),
        active_organization_id: None,
        impersonated_by: None,
    };
    let message = parlant_conversations::NewMessage {
        content: MESSAGE.to_owned(),
        message_type: parlant_conversations::MessageType::default(),
        metadata: Some(json!({ MESSAGE: MESSAGE })),
        idempotency_key: None,
    };
    let engine = parlant_engine::Config::from_settings(&mut settings).unwrap();
    let shown = [
        format!("{settings:?}"),
        format!("{engine:?} {:?}", parlant_engine::Engine::new(&engine).unwrap()),
        format!("{:?}", parlant_api::Config::from_settings(&mut settings)),
        format!("{:?}", parlant_telemetry::Config::from_settings(&mut settings)),
        format!("{:?}", parlant_conversations::Limits::from_settings(&mut settings)),
        format!("{pool_config:?} {pool:?} {auth_config:?} {auth:?}"),
        format!("{:?}", parlant_conversations::Conversations::new(pool, parlant_conversations::Limits::default())),
        format!("{:?}", JwtKey::Secret(JWT_SECRET.into())),
        format!("{:?} {:?}", Credential::from_bearer(GARBAGE), Credential::from_bearer(&jwt("canary", JWT_SECRET))),
        format!("{:?}", Credential::from_cookies([format!("better-auth.session_token={GARBAGE}").as_bytes()])),
        format!("{:?}", Identity { user, session, workspaces: Vec::new() }),
        format!("{message:?}"),
    ];
    for shown in shown {
        canaries.absent("Debug", &shown);
    }
}
