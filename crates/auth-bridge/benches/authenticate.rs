//! The hot path: one credential from the cache, alone and beside another thread; what a permission check costs; and the
//! cold path beside the statement that it runs.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so and stop")]

use std::hint::black_box;
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use parlant_auth_bridge::testing::somebody;
use parlant_auth_bridge::{
    AuthBridge, Config, Credential, Database, DatabaseSource, Permission, Rows, Statement, Verdict, Workspace,
};
use parlant_db_pool::Pool;
use parlant_test_support::{SimTables, database, signed_cookie};
use secrecy::SecretString;
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;

const SECRET: &str = "bench-secret-0123456789abcdef0123456789abcdef";
/// As many as the machine has processors to spare.
const THREADS: usize = 2;

async fn is_valid(bridge: &AuthBridge, cookie: &[u8]) {
    let credential = Credential::from_cookies([black_box(cookie)]).expect("a cookie");
    let verdict = bridge.authenticate(&credential).await;
    assert!(matches!(verdict, Verdict::Valid(_)), "{verdict:?}");
}

/// Remembers the statement that sessions are looked up with.
struct Spy {
    tables: SimTables,
    seen: Arc<OnceLock<&'static Statement>>,
}

impl Database for Spy {
    fn query<'a>(&'a self, statement: &'static Statement, parameter: &'a (dyn ToSql + Sync)) -> Rows<'a> {
        let _first = self.seen.set(statement);
        self.tables.query(statement, parameter)
    }
}

struct House {
    cached: AuthBridge,
    uncached: AuthBridge,
    /// Of one session each.
    cookies: [String; THREADS],
    token: String,
    /// A connection of its own, and what the bridges run on theirs.
    client: tokio_postgres::Client,
    statement: tokio_postgres::Statement,
}

async fn house() -> House {
    let database = Box::leak(Box::new(database().await));
    let sim = database.sim().await;
    let user = sim.user("Ada").await;
    for _ in 0..10 {
        sim.workspace(&user).await;
    }
    let tokens = [sim.session(&user).await, sim.session(&user).await];
    let pool = Pool::new(&parlant_db_pool::Config::new(database.url())).expect("a pool");
    let seen = Arc::<OnceLock<_>>::default();
    let bridge = |caching| {
        let secret = Some(SecretString::from(SECRET));
        let config = Config { caching, better_auth_secret: secret, ..Config::default() };
        let spy = Spy { tables: SimTables(pool.clone()), seen: Arc::clone(&seen) };
        AuthBridge::new(&config, Arc::new(DatabaseSource::new(spy))).expect("a bridge")
    };
    let (cached, uncached) = (bridge(true), bridge(false));
    let cookie = |token: &String| format!("better-auth.session_token={}", signed_cookie(token, SECRET));
    let cookies = tokens.each_ref().map(cookie);
    for cookie in &cookies {
        is_valid(&cached, cookie.as_bytes()).await;
    }
    let client = database.superuser().await;
    let statement = seen.get().expect("a statement");
    let statement = client.prepare(statement.sql).await.expect("the statement again");
    let [token, _] = tokens;
    House { cached, uncached, cookies, token, client, statement }
}

/// The time that each of the threads takes for so many, when both are at it.
fn together(runtime: &Runtime, bridge: &AuthBridge, cookies: [&str; THREADS], times: u64) -> Duration {
    let barrier = Barrier::new(THREADS);
    let one = |cookie: &str| {
        runtime.block_on(async {
            barrier.wait();
            let start = Instant::now();
            for _ in 0..times {
                is_valid(bridge, cookie.as_bytes()).await;
            }
            start.elapsed()
        })
    };
    thread::scope(|scope| {
        let threads = cookies.map(|cookie| scope.spawn(move || one(cookie)));
        let spent = threads.map(|thread| thread.join().expect("a thread that ends"));
        spent.iter().sum::<Duration>() / u32::try_from(THREADS).expect("few threads")
    })
}

fn authenticate(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let House { cached, uncached, cookies, token, client, statement } = runtime.block_on(house());
    let [first, second] = cookies.each_ref().map(String::as_str);
    let mut group = criterion.benchmark_group("authenticate");
    group.bench_function("cached", |bencher| {
        bencher.to_async(&runtime).iter(|| is_valid(&cached, first.as_bytes()));
    });
    group.bench_function("cached, 2 threads, one session", |bencher| {
        bencher.iter_custom(|times| together(&runtime, &cached, [first, first], times));
    });
    group.bench_function("cached, 2 threads, a session each", |bencher| {
        bencher.iter_custom(|times| together(&runtime, &cached, [first, second], times));
    });
    group.bench_function("uncached", |bencher| {
        bencher.to_async(&runtime).iter(|| is_valid(&uncached, first.as_bytes()));
    });
    group.bench_function("the raw statement", |bencher| {
        bencher.to_async(&runtime).iter(async || {
            let rows = client.query(&statement, &[&token]).await.expect("rows");
            assert_eq!(black_box(rows).len(), 1);
        });
    });
    group.finish();
}

/// A look at the workspaces of somebody who may enter so many, for the last of them.
fn authorize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("authorize");
    for count in [10, 1000] {
        let mut identity = somebody("ada");
        let workspace =
            |n| Workspace { id: format!("00000000-0000-4000-8000-{n:012}"), ..identity.workspaces[0].clone() };
        identity.workspaces = (0..count).map(workspace).collect();
        let last = identity.workspaces[count - 1].id.clone();
        group.bench_function(format!("{count} workspaces"), |bencher| {
            bencher.iter(|| assert!(black_box(&identity).permission(black_box(&last)) >= Some(Permission::Write)));
        });
    }
    group.finish();
}

criterion_group!(benches, authenticate, authorize);
criterion_main!(benches);
