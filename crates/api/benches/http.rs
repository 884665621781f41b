//! What a request costs in the application, from its parsed head to the last byte of its answer, beside what actix
//! costs by itself, and what the domain costs without HTTP, in the same run. Logs are formatted and thrown away.
#![expect(clippy::unwrap_used, reason = "what cannot be set up cannot be measured")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::test::{TestRequest, call_and_read_body, init_service};
use actix_web::{App, HttpResponse, web};
use criterion::{BatchSize, Criterion};
use parlant_api::{RateLimit, RateLimits, Readiness, Scrape, State, TrustedProxies, app};
use parlant_auth_bridge::{AuthBridge, Config, DatabaseSource, Permission};
use parlant_conversations::{Actor, Conversations, Limits, ListAgents, NewAgent};
use parlant_db_pool::Pool;
use parlant_health::Monitor;
use parlant_metrics::Exporter;
use parlant_telemetry::{Format, Lines};
use parlant_test_support::{SimTables, TestDatabase, database};
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// Agents in the list.
const AGENTS: usize = 20;

const LIST: ListAgents<'static> = ListAgents { workspace_id: None, cursor: None, limit: 50 };

struct House {
    state: State,
    user: String,
    workspace: String,
    token: String,
    _database: TestDatabase,
}

impl House {
    async fn new(exporter: Exporter) -> Self {
        let database = database().await;
        let sim = database.sim().await;
        let user = sim.user("Ada").await;
        let workspace = sim.workspace(&user).await;
        let token = sim.session(&user).await;
        let pool = Pool::new(&parlant_db_pool::Config::new(database.url())).unwrap();
        let source = Arc::new(DatabaseSource::new(SimTables(pool.clone())));
        let house = Self {
            state: State {
                auth: AuthBridge::new(&Config::default(), source).unwrap(),
                conversations: Conversations::new(pool, Limits::default()),
                health: Monitor::new(parlant_health::Config::default(), "0", exporter.clone(), Vec::new()),
                readiness: Readiness::new(),
                metrics: Some(Scrape { exporter, token: None }),
                chat: None,
                trusted_proxies: TrustedProxies::default(),
                // Counted as everywhere, and hardly used up.
                rate_limits: NonZeroU32::new(1_000_000).map(|most| {
                    RateLimits::new(RateLimit { per_minute: most, burst: most, invalid_tokens: Some(most) })
                }),
            },
            user,
            workspace,
            token,
            _database: database,
        };
        for index in 0..AGENTS {
            let agent = NewAgent {
                workspace_id: house.workspace.clone(),
                name: format!("Agent {index}"),
                description: Some("Answers questions about invoices and contracts".to_owned()),
                guidelines: vec!["Answer in the language of the question.".into()],
                tools: Vec::new(),
                model: None,
                temperature: Some(0.2),
            };
            let actor = house.actor();
            let created = house.state.conversations.create_agent(&actor, agent);
            created.await.unwrap();
        }
        house
    }

    fn actor(&self) -> Actor<'_> {
        Actor::new(&self.user, [(self.workspace.as_str(), Permission::Admin)])
    }

    fn request(&self, path: &str) -> TestRequest {
        TestRequest::get().uri(path).insert_header((header::AUTHORIZATION, format!("Bearer {}", self.token)))
    }
}

fn main() {
    let lines = Lines::new(Format::Json, |line| _ = black_box(line.len())).with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines).init();
    let exporter = parlant_metrics::install().unwrap();
    let runtime = Runtime::new().unwrap();
    let house = runtime.block_on(House::new(exporter));
    let bare = runtime.block_on(init_service(App::new().route("/bare", web::get().to(HttpResponse::Ok))));
    let full = runtime.block_on(init_service(app(&house.state, &[])));
    let unlimited = State { rate_limits: None, ..house.state.clone() };
    let unlimited = runtime.block_on(init_service(app(&unlimited, &[])));

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("http");
    group.bench_function("bare_actix", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || house.request("/bare").to_request(),
            |request| call_and_read_body(&bare, request),
            BatchSize::SmallInput,
        );
    });
    for (name, app, path, least) in [
        ("livez", &full, "/livez", 10),
        ("auth_me_cached", &full, "/api/v1/auth/me", 100),
        ("auth_me_cached_unlimited", &unlimited, "/api/v1/auth/me", 100),
        ("agents_list_20", &full, "/api/v1/agents", AGENTS * 300),
        // Every series is there from the start.
        ("metrics", &full, "/metrics", 50_000),
    ] {
        let answer = call_and_read_body(app, house.request(path).to_request());
        let answer = runtime.block_on(answer);
        assert!(answer.len() > least, "{path} answered {answer:?}");
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter_batched(
                || house.request(path).to_request(),
                |request| call_and_read_body(app, request),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("agents_list_20_without_http", |bencher| {
        let actor = house.actor();
        bencher.to_async(&runtime).iter(|| async {
            let page = house.state.conversations.list_agents(&actor, LIST).await;
            serde_json::to_vec(&page.unwrap().items).unwrap()
        });
    });
    group.finish();
    criterion.final_summary();
}
