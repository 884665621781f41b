//! A server as the program builds it, people who use it, and a client that asks.

use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::{Duration, Instant};

use crate::openapi::describes;
use actix_web::dev::ServerHandle;
use actix_web::web::ServiceConfig;
use parlant_api::{Chat, Config, RateLimit, RateLimits, Readiness, Scrape, State, TrustedProxies, serve};
use parlant_auth_bridge::{AuthBridge, DatabaseSource};
use parlant_conversations::{Conversations, Limits, Live};
use parlant_db_pool::Pool;
use parlant_health::{Audience, Check, Database, Monitor};
use parlant_metrics::Exporter;
use parlant_test_support::{Sim, SimTables, TestDatabase};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::task::AbortHandle;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What differs from server to server.
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) auth: parlant_auth_bridge::Config,
    pub(crate) pool: fn(&mut parlant_db_pool::Config),
    pub(crate) limits: Limits,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) metrics: Option<Scrape>,
    pub(crate) chat: Option<Chat>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) checks: Vec<Arc<dyn Check>>,
    pub(crate) checks_database: bool,
    pub(crate) audience: Audience,
    pub(crate) more: fn(&mut ServiceConfig),
    /// Whether it exchanges notices with others.
    pub(crate) is_replica: bool,
}

impl Options {
    pub(crate) fn new(database: &TestDatabase) -> Self {
        Self::at(database.url())
    }

    pub(crate) fn at(url: String) -> Self {
        Self {
            url,
            auth: parlant_auth_bridge::Config::default(),
            pool: |config| config.pool_size = 4,
            limits: Limits::default(),
            cors_origins: Vec::new(),
            metrics: Some(scrape(None)),
            chat: None,
            trusted_proxies: TrustedProxies::default(),
            rate_limit: None,
            checks: Vec::new(),
            checks_database: false,
            audience: Audience::Public,
            more: |_| {},
            is_replica: false,
        }
    }

    pub(crate) fn state(&self) -> (State, Pool) {
        let mut config = parlant_db_pool::Config::new(self.url.as_str());
        (self.pool)(&mut config);
        let pool = Pool::new(&config).unwrap();
        let listening = config.clone();
        let source = Arc::new(DatabaseSource::new(SimTables(pool.clone())));
        let mut checks = self.checks.clone();
        if self.checks_database {
            checks.push(Arc::new(Database::new(config, pool.clone(), exporter().clone())));
        }
        let health = parlant_health::Config {
            interval: Duration::from_secs(1),
            details: self.audience,
            ..parlant_health::Config::default()
        };
        let state = State {
            auth: AuthBridge::new(&self.auth, source).unwrap(),
            conversations: Conversations::new(pool.clone(), self.limits),
            health: Monitor::new(health, "1.2.3", exporter().clone(), checks),
            readiness: Readiness::new(),
            metrics: self.metrics.clone(),
            chat: self.chat.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            rate_limits: self.rate_limit.map(RateLimits::new),
        };
        if self.is_replica {
            tokio::spawn(state.conversations.live().clone().run(listening));
        }
        (state, pool)
    }
}

/// A running server. It stops when dropped.
pub(crate) struct Server {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) readiness: Readiness,
    pub(crate) handle: ServerHandle,
    pub(crate) pool: Pool,
    pub(crate) live: Live,
    watch: AbortHandle,
    client: reqwest::Client,
}

/// The numbers of this test process, which its servers share.
pub(crate) fn exporter() -> &'static Exporter {
    static EXPORTER: OnceLock<Exporter> = OnceLock::new();
    EXPORTER.get_or_init(|| parlant_metrics::install().unwrap())
}

/// `/metrics` over them, for who bears the token.
pub(crate) fn scrape(token: Option<&str>) -> Scrape {
    Scrape { exporter: exporter().clone(), token: token.map(Into::into) }
}

impl Server {
    pub(crate) fn start(database: &TestDatabase) -> Self {
        Self::with(Options::new(database))
    }

    pub(crate) fn with(options: Options) -> Self {
        exporter();
        log_once();
        let (state, pool) = options.state();
        let readiness = state.readiness.clone();
        let live = state.conversations.live().clone();
        let watch = tokio::spawn(state.health.clone().run()).abort_handle();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config {
            address,
            workers: NonZeroUsize::new(2).unwrap(),
            cors_origins: options.cors_origins,
            shutdown_grace: Duration::from_secs(5),
            ..Config::default()
        };
        let server = serve(listener, &config, state, options.more).unwrap();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            address,
            readiness,
            handle,
            pool,
            live,
            watch,
            client: reqwest::Client::builder()
                // There need be no certificates where the tests run.
                .tls_certs_only([])
                .timeout(Duration::from_secs(30))
                .build()
                .unwrap(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// As the bearer of a token.
    pub(crate) fn caller<'a>(&'a self, token: &'a str) -> Caller<'a> {
        Caller { server: self, token }
    }

    /// As nobody.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The handle sends when it is called; nobody waits.
        drop(self.handle.stop(false));
        self.watch.abort();
    }
}

/// Somebody with a token.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    server: &'a Server,
    token: &'a str,
}

impl Caller<'_> {
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.server.request(method, path).bearer_auth(self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let answer = Answer { status, headers, text: response.text().await.unwrap() };
    describes(&method, &path, &answer);
    answer
}

impl Answer {
    pub(crate) fn header(&self, name: impl TryInto<HeaderName>) -> &str {
        let name = name.try_into().ok().unwrap();
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer with that status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// The `details` of an envelope with that status and code, which must be whole.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        let error = &body["error"];
        let mut names: Vec<_> = error.as_object().unwrap().keys().collect();
        names.sort();
        let expected = ["code", "details", "message", "request_id", "timestamp"];
        assert_eq!(names, expected, "{self:?}");
        assert_eq!(body.as_object().unwrap().len(), 1, "{self:?}");
        assert_eq!(error["code"], code, "{self:?}");
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert_eq!(error["request_id"], self.header("x-request-id"));
        let timestamp = error["timestamp"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(timestamp).unwrap();
        assert!(timestamp.ends_with('Z'), "{timestamp}");
        assert_eq!(self.header("content-type"), "application/json");
        error["details"].clone()
    }
}

/// Two people with a workspace each, a third who may read and a fourth who may write in the first's.
pub(crate) struct People {
    pub(crate) ada: String,
    pub(crate) ada_token: String,
    pub(crate) bob_token: String,
    pub(crate) reader_token: String,
    pub(crate) writer_token: String,
    pub(crate) workspace: String,
    pub(crate) bobs_workspace: String,
}

impl People {
    pub(crate) async fn of(sim: &Sim) -> Self {
        let ada = sim.user("Ada").await;
        let bob = sim.user("Bob").await;
        let reader = sim.user("Rita").await;
        let writer = sim.user("Will").await;
        let workspace = sim.workspace(&ada).await;
        let bobs_workspace = sim.workspace(&bob).await;
        sim.permission(&reader, &workspace, "read").await;
        sim.permission(&writer, &workspace, "write").await;
        Self {
            ada_token: sim.session(&ada).await,
            bob_token: sim.session(&bob).await,
            reader_token: sim.session(&reader).await,
            writer_token: sim.session(&writer).await,
            ada,
            workspace,
            bobs_workspace,
        }
    }
}

/// Asks again and again until it is so.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The log of this test process, as the program would write it.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn log_once() {
    static LOG: Once = Once::new();
    LOG.call_once(|| {
        let keep = |line: &str| LINES.lock().unwrap().push(line.to_owned());
        let lines = parlant_telemetry::Lines::new(parlant_telemetry::Format::Json, keep);
        let lines = lines.with_filter(LevelFilter::INFO);
        tracing_subscriber::registry().with(lines).init();
    });
}

/// The lines that were logged under a request id.
pub(crate) fn logged(request_id: &str) -> Vec<Value> {
    let lines = LINES.lock().unwrap();
    let of_request = lines.iter().filter(|line| line.contains(request_id));
    let parsed = of_request.map(|line| serde_json::from_str::<Value>(line).unwrap());
    parsed.filter(|line| line["request_id"] == request_id).collect()
}

/// The completed line of a request, of which there is one.
pub(crate) async fn completed(request_id: &str) -> Value {
    let lines = || {
        let lines = logged(request_id).into_iter();
        let completed = lines.filter(|line| line["message"] == "Request completed");
        completed.collect::<Vec<_>>()
    };
    eventually("a completed line", async || !lines().is_empty()).await;
    let mut lines = lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// The value of a series in what Prometheus would scrape; 0 when it is not there.
pub(crate) fn scraped(name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = exporter().render();
    let found = text.lines().find(|line| {
        let Some(rest) = line.strip_prefix(name) else {
            return false;
        };
        let known = rest.matches("=\"").count();
        let all = labels.iter().all(|(name, value)| rest.contains(&format!("{name}=\"{value}\"")));
        all && known == labels.len() && rest.starts_with(['{', ' '])
    });
    found.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}
