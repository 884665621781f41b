//! `/health`, `/livez`, `/readyz` and the detailed report.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlant_health::{Audience, Check, Outcome, Running, Status};
use parlant_test_support::{ChaosProxy, database};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{Answer, Options, People, Server, answer, eventually};

const DETAILED: &str = "/api/v1/health/detailed";

/// A check that finds what it is told, after a while.
struct Told {
    status: Mutex<Status>,
    takes: Duration,
    looks: AtomicUsize,
}

impl Told {
    fn new(takes: Duration) -> Arc<Self> {
        Arc::new(Self { status: Mutex::new(Status::Healthy), takes, looks: AtomicUsize::new(0) })
    }

    fn tell(&self, status: Status) {
        *self.status.lock().unwrap() = status;
    }
}

impl Check for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn critical(&self) -> bool {
        true
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn run(&self) -> Running<'_> {
        Box::pin(async {
            self.looks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.takes).await;
            let details = json!({ "legs": 2 });
            match *self.status.lock().unwrap() {
                Status::Healthy => Outcome::healthy(),
                Status::Degraded => Outcome::degraded("limps"),
                Status::Unhealthy => Outcome::unhealthy("is broken").because("dsn=postgres://secret"),
            }
            .with_details(details)
        })
    }
}

/// A server that depends on nothing but that check.
async fn depending_on(check: &Arc<Told>, audience: Audience) -> (Server, People) {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let mut options = Options::new(&database);
    options.checks = vec![check.clone()];
    options.audience = audience;
    let server = Server::with(options);
    eventually("healthy", async || server.get("/health").await.status == 200).await;
    (server, people)
}

async fn asking(server: &Server, path: &str, accept: &str) -> Answer {
    answer(server.request(Method::GET, path).header("accept", accept)).await
}

#[tokio::test]
async fn the_status_decides_whether_requests_are_wanted() {
    let check = Told::new(Duration::ZERO);
    let (server, _) = depending_on(&check, Audience::Public).await;
    for (status, code) in [(Status::Degraded, 200), (Status::Unhealthy, 503), (Status::Healthy, 200)] {
        check.tell(status);
        let is_told = async || server.get("/health").await.json()["status"] == status.as_str();
        eventually(status.as_str(), is_told).await;
        for path in ["/health", "/readyz", DETAILED] {
            let told = server.get(path).await;
            let report = told.expect(code);
            assert_eq!(report["status"], status.as_str(), "{path}");
            assert_eq!(told.header("retry-after"), if code == 503 { "2" } else { "" });
            let head = answer(server.request(Method::HEAD, path)).await;
            assert_eq!((head.status.as_u16(), head.text.as_str()), (code, ""), "{path}");
        }
        let brief = json!({ "status": status.as_str(), "service": "parlant-server", "version": "1.2.3",
            "start_id": server.readiness.start_id() });
        assert_eq!(server.get("/readyz").await.expect(code), brief);
        let alive = server.get("/livez").await.expect(200);
        assert_eq!((&alive["status"], &alive["start_id"]), (&json!("alive"), &brief["start_id"]));
    }
}

#[tokio::test]
async fn the_report_tells_what_was_found_and_never_why() {
    let check = Told::new(Duration::ZERO);
    let (server, _) = depending_on(&check, Audience::Public).await;
    check.tell(Status::Unhealthy);
    eventually("unhealthy", async || server.get(DETAILED).await.status == 503).await;
    let answer = server.get(DETAILED).await;
    assert!(!answer.text.contains("secret"), "{answer:?}");
    let report = answer.json();
    let told = &report["checks"]["told"];
    assert_eq!((&told["status"], &told["critical"]), (&json!("unhealthy"), &json!(true)));
    assert_eq!((&told["error"], &told["details"]), (&json!("is broken"), &json!({ "legs": 2 })));
    for odd in ["?fresh=maybe", "?frsh=true", "?fresh"] {
        server.get(&format!("{DETAILED}{odd}")).await.refused(400, "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn strangers_see_no_findings_where_they_are_not_public() {
    let check = Told::new(Duration::ZERO);
    let (server, people) = depending_on(&check, Audience::Authenticated).await;
    let known = server.caller(&people.ada_token).get(DETAILED).await.expect(200);
    assert_eq!(known["checks"]["told"]["details"], json!({ "legs": 2 }));
    for stranger in [server.get(DETAILED).await, server.caller("nobodys").get(DETAILED).await] {
        let report = stranger.expect(200);
        let told = report["checks"]["told"].as_object().unwrap();
        let names: Vec<_> = told.keys().map(String::as_str).collect();
        assert_eq!(names, ["checked_at", "critical", "response_time_ms", "status"]);
    }
}

#[tokio::test]
async fn whoever_cannot_be_asked_about_is_a_stranger() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let proxy = ChaosProxy::start(database.address()).await;
    let mut options = Options::at(database.url_through(proxy.address()));
    options.checks_database = true;
    options.audience = Audience::Authenticated;
    let server = Server::with(options);
    eventually("healthy", async || server.get("/health").await.status == 200).await;
    proxy.hang();
    let asked = Instant::now();
    let report = server.caller(&people.ada_token).get(DETAILED).await.json();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(report["checks"]["database"].get("details").is_none(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_want_a_fresh_report_cause_one_look() {
    let check = Told::new(Duration::from_secs(1));
    let (server, _) = depending_on(&check, Audience::Public).await;
    eventually("fresh", async || check.looks.load(Ordering::Relaxed) > 1).await;
    let before = (check.looks.load(Ordering::Relaxed), Instant::now());
    let path = format!("{DETAILED}?fresh=true");
    let answers = join_all((0..200).map(|_| server.get(&path))).await;
    // The background looks every second as well, and a look takes one.
    let allowed = 1 + usize::try_from(before.1.elapsed().as_secs()).unwrap();
    let looks = check.looks.load(Ordering::Relaxed) - before.0;
    assert!(looks <= allowed, "{looks} in {:?}", before.1.elapsed());
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn who_prefers_the_standard_form_gets_it() {
    let check = Told::new(Duration::ZERO);
    let (server, _) = depending_on(&check, Audience::Public).await;
    for (accept, expected) in [
        ("application/health+json", "application/health+json"),
        ("application/health+json, application/json;q=0.5", "application/health+json"),
        ("application/json, application/health+json;q=0.5", "application/json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("nonsense", "application/json"),
    ] {
        for path in ["/health", "/readyz", DETAILED] {
            let told = asking(&server, path, accept).await;
            assert_eq!((told.status.as_u16(), told.header("content-type")), (200, expected), "{path} {accept}");
            assert!(told.header("vary").contains("accept"), "{told:?}");
        }
    }

    check.tell(Status::Unhealthy);
    eventually("unhealthy", async || server.get("/health").await.status == 503).await;
    let brief = asking(&server, "/health", "application/health+json").await.expect(503);
    assert_eq!(brief, json!({ "status": "fail", "serviceId": "parlant-server", "releaseId": "1.2.3" }));
    let report = asking(&server, DETAILED, "application/health+json").await.expect(503);
    let told = &report["checks"]["told:responseTime"][0];
    assert_eq!((&told["status"], &told["output"]), (&json!("fail"), &json!("is broken")));
    assert!(told["observedValue"].is_number() && told["observedUnit"] == "ms" && told["time"].is_string(), "{told}");
}

#[tokio::test]
async fn what_is_known_already_is_told_at_once_when_the_database_hangs() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let mut options = Options::at(database.url_through(proxy.address()));
    options.checks_database = true;
    let server = Server::with(options);
    eventually("healthy", async || server.get("/health").await.status == 200).await;
    proxy.hang();
    let mut slowest = Duration::ZERO;
    let hung = Instant::now();
    let unhealthy = async || {
        for path in ["/livez", "/readyz", DETAILED] {
            let asked = Instant::now();
            server.get(path).await;
            slowest = slowest.max(asked.elapsed());
        }
        server.get("/health").await.status == 503
    };
    eventually("unhealthy", unhealthy).await;
    // Two pings that took all their time.
    assert!(hung.elapsed() < Duration::from_secs(9), "{:?}", hung.elapsed());
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let report = server.get(DETAILED).await.expect(503);
    assert_eq!(report["checks"]["database"]["error"], "the database does not answer");
    assert_eq!(report["dependencies"]["database"]["status"], "unhealthy");
    assert_eq!(report["dependencies"]["database"]["connection_pool"]["max"], Value::from(24));
    server.get("/livez").await.expect(200);
}
