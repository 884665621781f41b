//! The health of the real server.

use std::time::Duration;

use parlant_test_support::{ChaosProxy, database};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::program::PATIENCE;
use crate::serve::{client, serve};

async fn report(address: &str) -> (u16, Value) {
    let answer = client().get(format!("{address}/api/v1/health/detailed")).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The report once something holds of it.
async fn report_until(address: &str, what: &str, holds: impl Fn(&Value) -> bool) -> (u16, Value) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let (status, report) = report(address).await;
        if holds(&report) {
            return (status, report);
        }
        assert!(std::time::Instant::now() < deadline, "never: {what}\n{report:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_fresh_server_is_well_from_its_first_answer_on() {
    let database = database().await;
    let (mut server, _directory) = serve(&database.url(), &[]);
    let address = server.address().await;
    let (status, report) = report(&address).await;
    assert_eq!(status, 200, "{report:#}");
    let checks: Vec<_> = report["checks"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(checks, ["auth_cache", "database", "disk_space", "memory", "migrations", "sim_api"]);
    // How full this machine's disks are is not for a test to say.
    for check in ["auth_cache", "database", "migrations", "sim_api"] {
        assert_eq!(report["checks"][check]["status"], "healthy", "{report:#}");
        assert_eq!(report["checks"][check]["error"], Value::Null);
    }
    assert_eq!(report["checks"]["database"]["critical"], true);
    assert_eq!(report["checks"]["sim_api"]["critical"], false);
    assert_eq!(report["checks"]["sim_api"]["details"], json!({ "configured": false }));
    assert_eq!(report["checks"]["migrations"]["details"]["pending"], 0);
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    // What `curl … | jq '.dependencies.database'` shows.
    let database = &report["dependencies"]["database"];
    assert_eq!(database["status"], "healthy");
    assert!(database["response_time_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(database["connection_pool"]["max"], 30);
    assert_eq!(report["dependencies"]["sim_auth"]["status"], "healthy");

    // The numbers are those of the metrics.
    let (_, report) = report_until(&address, "counted", |report| report["metrics"]["total_agents"] == 0).await;
    assert_eq!(report["metrics"]["active_sessions"], 0);
}

#[tokio::test]
async fn an_outage_shows_and_ends_within_seconds_and_tells_nobody_where_the_database_is() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let url = database.url_through(proxy.address());
    let (mut server, _directory) = serve(&url, &[("HEALTH_CHECK_INTERVAL", "1s")]);
    let address = server.address().await;
    assert_eq!(report(&address).await.0, 200);
    proxy.refuse().await;
    proxy.cut();
    let (status, report) = report_until(&address, "unhealthy", |report| report["status"] == "unhealthy").await;
    assert_eq!(status, 503);
    assert_eq!(report["checks"]["database"]["error"], "the database cannot be reached");
    let port = proxy.address().port().to_string();
    for inside in ["127.0.0.1", port.as_str(), "refused", "parlant_app"] {
        assert!(!report.to_string().contains(inside), "{inside}: {report:#}");
    }
    proxy.restore().await;
    let back = std::time::Instant::now();
    report_until(&address, "healthy again", |report| report["checks"]["database"]["status"] == "healthy").await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    let changes =
        |log: &str| log.lines().filter(|line| line.contains("Health changed") && line.contains("\"database\"")).count();
    assert_eq!(server.wait_for(|log| (changes(log) > 1).then(|| changes(log))).await, 2, "{}", server.log());
}

#[tokio::test]
async fn a_sim_that_is_not_needed_only_degrades_and_one_that_is_needed_decides() {
    let database = database().await;
    let sim = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", sim.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = sim.accept().await {
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            let found = request[..length].starts_with(b"GET /well HTTP/1.1");
            let status = if found { "200 OK" } else { "404 Not Found" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = format!("http://{closed}");
    for (source, address, path, status, critical) in [
        ("database", base_url.as_str(), "/well", "healthy", false),
        ("database", &base_url, "/api/health", "degraded", false),
        ("database", &nowhere, "/well", "unhealthy", false),
        ("http", &base_url, "/well", "healthy", true),
        ("http", &nowhere, "/well", "unhealthy", true),
    ] {
        let settings = [("AUTH_SOURCE", source), ("SIM_BASE_URL", address), ("SIM_HEALTH_PATH", path)];
        let (mut server, _directory) = serve(&database.url(), &settings);
        let told = server.address().await;
        let (code, report) = report(&told).await;
        let check = &report["checks"]["sim_api"];
        assert_eq!((&check["status"], &check["critical"]), (&json!(status), &json!(critical)), "{report:#}");
        assert_eq!(code, if critical && status == "unhealthy" { 503 } else { 200 });
        assert_eq!(report["dependencies"]["sim_auth"]["status"], status);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let settings = [
        ("DATABASE_URL", "postgres://localhost/sim"),
        ("SIM_BASE_URL", "sim.example.com"),
        ("HEALTH_CHECK_INTERVAL", "0"),
        ("HEALTH_DETAILS", "friends"),
    ];
    let output = crate::program::output(&["check-config"], &settings);
    let text = crate::program::text(&output);
    assert_eq!(output.status.code(), Some(78), "{text}");
    for name in ["SIM_BASE_URL", "HEALTH_CHECK_INTERVAL", "HEALTH_DETAILS"] {
        assert!(text.contains(&format!("{name}: ")), "{name}: {text}");
    }
}
