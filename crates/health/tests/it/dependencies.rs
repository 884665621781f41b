//! The checks of a real PostgreSQL and of something that answers like Sim.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use parlant_auth_bridge::{AuthBridge, Credential, DatabaseSource};
use parlant_db_pool::{Config, Pool};
use parlant_engine::echo::Echo;
use parlant_health::{AuthCache, Check, Database, DiskSpace, Engine, Memory, Migrations, Outcome, SimApi, Status};
use parlant_test_support::{ChaosProxy, SimTables, database, empty_database};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::scripted::{exporter, watch};

fn up() -> Option<f64> {
    exporter().snapshot().sum("parlant_database_up", &[])
}

#[track_caller]
fn assert_is(outcome: &Outcome, status: Status, error: Option<&str>) {
    assert_eq!((outcome.status, outcome.error), (status, error), "{outcome:?}");
}

/// One test, because the gauge belongs to the process.
#[tokio::test]
async fn the_database_is_judged_by_a_ping_beside_the_pool() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let mut config = Config::new(database.url_through(proxy.address()));
    (config.pool_size, config.max_overflow) = (1, 1);
    let pool = Pool::new(&config).unwrap();
    exporter();
    let check = Database::new(config, pool.clone(), exporter());
    assert_eq!(up(), Some(0.0), "there from the start");

    let outcome = check.run().await;
    assert_is(&outcome, Status::Healthy, None);
    assert_eq!(up(), Some(1.0));
    assert_eq!(outcome.details["pool_stats"]["max"], 2);

    let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    assert_is(&check.run().await, Status::Healthy, None);
    let waiting = {
        let pool = pool.clone();
        tokio::spawn(async move { pool.get().await.map(drop) })
    };
    while pool.statistics().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let outcome = check.run().await;
    assert_is(&outcome, Status::Degraded, Some("all connections are in use, and callers wait for one"));
    assert_eq!(outcome.details["pool_stats"]["active"], 2);
    assert_eq!(outcome.details["pool_stats"]["waiting"], 1);
    drop(held);
    waiting.await.unwrap().unwrap();

    proxy.delay(Duration::from_millis(600));
    assert_is(&check.run().await, Status::Degraded, Some("the database answers slowly"));
    assert_eq!(up(), Some(1.0));
    proxy.restore().await;

    proxy.hang();
    let hung = Instant::now();
    let outcome = check.run().await;
    assert_is(&outcome, Status::Unhealthy, Some("the database does not answer"));
    assert_eq!(up(), Some(0.0));
    assert!(hung.elapsed() < check.timeout());
    proxy.restore().await;
    assert_is(&check.run().await, Status::Healthy, None);
    assert_eq!(up(), Some(1.0));

    proxy.refuse().await;
    proxy.cut();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let outcome = check.run().await;
    assert_is(&outcome, Status::Unhealthy, Some("the database cannot be reached"));
    assert!(outcome.cause.is_some());
    assert_eq!(up(), Some(0.0));
    proxy.restore().await;
    assert_is(&check.run().await, Status::Healthy, None);
}

#[tokio::test]
async fn migrations_that_wait_are_counted_and_a_locked_history_is_not_waited_for() {
    exporter();
    let empty = empty_database().await;
    let outcome = Migrations::new(Config::new(empty.superuser_url())).run().await;
    assert_is(&outcome, Status::Degraded, Some("migrations wait to be applied"));
    let pending = outcome.details["pending"].as_f64().unwrap();
    assert!(pending >= 3.0);
    assert_eq!(exporter().snapshot().sum("parlant_migrations_pending", &[]), Some(pending));

    let database = database().await;
    let check = Migrations::new(Config::new(database.url()));
    let superuser = database.superuser().await;
    let lock = "begin; lock table parlant_migrations in access exclusive mode";
    superuser.batch_execute(lock).await.unwrap();
    let locked = Instant::now();
    assert_is(&check.run().await, Status::Degraded, Some("the schema cannot be read"));
    assert!(locked.elapsed() < check.timeout());
    superuser.batch_execute("rollback").await.unwrap();
    let outcome = check.run().await;
    assert_is(&outcome, Status::Healthy, None);
    assert_eq!(outcome.details["pending"], 0);

    let newer = "insert into parlant_migrations (version, name, applied_on, checksum)
        values (9999, 'of_tomorrow', '2026-01-01T00:00:00Z', '1')";
    superuser.batch_execute(newer).await.unwrap();
    assert_is(&check.run().await, Status::Healthy, None);
    let outcome = Migrations::new(Config::new(database.url())).run().await;
    assert_eq!(outcome.details["state"], "newer");
}

/// Something that answers every request with this status.
async fn sim(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let status =
                    if request.starts_with("GET /base/api/health HTTP/1.1") { status } else { "404 Not Found" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nlocation: /elsewhere\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    format!("http://{address}/base/")
}

fn ask(base_url: &str, path: &str) -> BoxFuture<'static, Outcome> {
    let check = SimApi::new(base_url, path, true).unwrap();
    async move { check.run().await }.boxed()
}

#[tokio::test]
async fn sim_is_judged_by_its_status() {
    for (status, code, expected) in [
        ("200 OK", 200, Status::Healthy),
        ("204 No Content", 204, Status::Degraded),
        ("302 Found", 302, Status::Degraded),
        ("500 Internal Server Error", 500, Status::Degraded),
    ] {
        let outcome = ask(&sim(status).await, "/api/health").await;
        assert_eq!(outcome.status, expected, "{status}");
        assert_eq!(outcome.details["http_status"], code);
    }
    let elsewhere = ask(&sim("200 OK").await, "health").await;
    assert_is(&elsewhere, Status::Degraded, Some("Sim answers with another status than 200"));
}

#[tokio::test]
async fn a_sim_that_cannot_be_reached_is_unhealthy_and_its_address_is_told_nobody() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = ask(&format!("http://{closed}"), "/api/health").await;
    assert_is(&refused, Status::Unhealthy, Some("Sim cannot be reached"));

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = Instant::now();
    let silent = ask(&format!("http://{}", silent.local_addr().unwrap()), "/api/health").await;
    assert_is(&silent, Status::Unhealthy, Some("Sim cannot be reached"));
    assert!((5..6).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());

    for outcome in [refused, silent] {
        let cause = outcome.cause.unwrap();
        assert!(!format!("{cause} {}", outcome.details).contains("127.0.0.1"), "{cause}");
    }
}

#[tokio::test]
async fn a_sim_that_nobody_named_is_not_looked_for() {
    let check = SimApi::unconfigured();
    let outcome = check.run().await;
    assert_is(&outcome, Status::Healthy, None);
    assert_eq!(outcome.details["configured"], false);
    assert!(!check.critical());
    for nonsense in ["", "sim", "ftp://sim", "/api"] {
        assert!(SimApi::new(nonsense, "/api/health", true).is_err(), "{nonsense}");
    }
}

#[tokio::test]
async fn an_engine_is_judged_by_what_it_answers_and_missed_when_it_does_not() {
    exporter();
    let echo = Echo::start().unwrap();
    let proxy = ChaosProxy::start(echo.config().base_url.trim_start_matches("http://").parse().unwrap()).await;
    let config = parlant_engine::Config::new(format!("http://{}", proxy.address()));
    let check = Engine::new(parlant_engine::Engine::new(&config).unwrap());
    let outcome = check.run().await;
    assert_is(&outcome, Status::Healthy, None);
    assert_eq!(outcome.details["version"], "echo");
    assert!(!check.critical());

    echo.refuse(true);
    assert_is(&check.run().await, Status::Degraded, Some("the engine answers with errors"));
    echo.refuse(false);
    proxy.refuse().await;
    proxy.cut();
    let outcome = check.run().await;
    assert_is(&outcome, Status::Unhealthy, Some("the engine cannot be reached"));
    assert!(!format!("{} {}", outcome.cause.unwrap(), outcome.details).contains("127.0.0.1"));

    // One that accepts and never answers has the time of the monitor, not of the client.
    proxy.restore().await;
    echo.hang(true);
    let monitor = watch(Duration::from_secs(10), vec![Arc::new(check)]);
    let asked = Instant::now();
    let report = monitor.fresh().await;
    assert_eq!(report.checks["engine"].status, Status::Unhealthy);
    assert_eq!(report.dependencies["engine"]["status"], "unhealthy");
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn everything_together_is_healthy_at_once() {
    let database = database().await;
    let config = Config::new(database.url());
    exporter();
    let pool = Pool::new(&config).unwrap();
    let source = Arc::new(DatabaseSource::new(SimTables(pool)));
    let auth = AuthBridge::new(&parlant_auth_bridge::Config::default(), source).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let monitor = watch(
        Duration::from_secs(10),
        vec![
            Arc::new(SimApi::unconfigured()),
            Arc::new(Memory::new()),
            Arc::new(DiskSpace::new([directory.path().join("not/yet")])),
            Arc::new(AuthCache::new(auth.clone())),
            Arc::new(Migrations::new(config)),
        ],
    );
    auth.authenticate(&Credential::from_bearer("nobodys")).await;
    let report = monitor.fresh().await;
    // What the machine itself uses is not for a test to say.
    for name in ["sim_api", "auth_cache", "migrations"] {
        assert_eq!(report.checks[name].status, Status::Healthy, "{report:?}");
    }
    let detail = |check: &str, name: &str| report.checks[check].findings.as_ref().unwrap().details[name].clone();
    assert!(detail("memory", "rss_mb").as_f64().unwrap() > 1.0);
    assert!(detail("disk_space", "percent").as_f64().unwrap() > 0.0);
    assert_eq!(detail("auth_cache", "cache_stats")["ttl_seconds"], 300);
    let snapshot = exporter().snapshot();
    assert!(snapshot.sum("parlant_disk_used_ratio", &[("mountpoint", "/")]).unwrap() > 0.0);
    let used = snapshot.sum("parlant_memory_used_ratio", &[]).unwrap();
    assert!((0.0..1.0).contains(&used), "{used}");
    assert!(snapshot.sum("parlant_memory_limit_bytes", &[]).unwrap() > 1e8);
}
