//! The hot path: one credential, from the cache and from PostgreSQL.
#![expect(clippy::expect_used, reason = "a benchmark that cannot run should say so and stop")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use parlant_auth_bridge::{AuthBridge, Config, Credential, DatabaseSource, Verdict};
use parlant_db_pool::Pool;
use parlant_test_support::{database, signed_cookie};
use secrecy::SecretString;

const SECRET: &str = "bench-secret-0123456789abcdef0123456789abcdef";

async fn is_valid(bridge: &AuthBridge, cookie: &[u8]) {
    let credential = Credential::from_cookies([black_box(cookie)]).expect("a cookie");
    let verdict = bridge.authenticate(&credential).await;
    assert!(matches!(verdict, Verdict::Valid(_)), "{verdict:?}");
}

fn authenticate(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (cached, uncached, cookie) = runtime.block_on(async {
        let database = database().await;
        let sim = database.sim().await;
        let user = sim.user("Ada").await;
        for _ in 0..10 {
            sim.workspace(&user).await;
        }
        let token = sim.session(&user).await;
        let pool = Pool::new(&parlant_db_pool::Config::new(database.url())).expect("a pool");
        let bridge = |caching| {
            let secret = Some(SecretString::from(SECRET));
            let config = Config { caching, better_auth_secret: secret, ..Config::default() };
            AuthBridge::new(&config, Arc::new(DatabaseSource::new(pool.clone()))).expect("a bridge")
        };
        let cookie = format!("better-auth.session_token={}", signed_cookie(&token, SECRET));
        (bridge(true), bridge(false), cookie)
    });
    let mut group = criterion.benchmark_group("authenticate");
    for (name, bridge) in [("cached", &cached), ("uncached", &uncached)] {
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| is_valid(bridge, cookie.as_bytes()));
        });
    }
    group.finish();
}

criterion_group!(benches, authenticate);
criterion_main!(benches);
