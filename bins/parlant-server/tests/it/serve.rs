use std::time::Duration;

use parlant_test_support::{ChaosProxy, TestDatabase, database, empty_database};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::program::{Running, program};

pub(crate) fn serve(url: &str, more: &[(&str, &str)]) -> (Running, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut environment = vec![("DATABASE_URL", url), ("HOST", "127.0.0.1"), ("PORT", "0"), ("WORKERS", "2")];
    environment.extend_from_slice(more);
    let command = program(directory.path(), &["serve"], &environment);
    (Running::start(command, directory.path()), directory)
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

pub(crate) async fn healthy(address: &str) {
    let deadline = std::time::Instant::now() + crate::program::PATIENCE;
    while client().get(format!("{address}/health")).send().await.unwrap().status() != StatusCode::OK {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn post(address: &str, token: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let request = client().post(format!("{address}{path}")).bearer_auth(token).json(&body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// An agent, a session and a message. Gives the address of the session's messages.
pub(crate) async fn converse(address: &str, token: &str, workspace: &str) -> String {
    let (status, agent) =
        post(address, token, "/api/v1/agents", json!({ "name": "Helper", "workspace_id": workspace })).await;
    assert_eq!(status, StatusCode::CREATED, "{agent}");
    let start = json!({ "agent_id": agent["id"], "workspace_id": workspace });
    let (status, session) = post(address, token, "/api/v1/agents/sessions", start).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    let path = format!("/api/v1/agents/sessions/{}/messages", session["session_id"].as_str().unwrap());
    let (status, message) = post(address, token, &path, json!({ "content": "Hello" })).await;
    assert_eq!(status, StatusCode::CREATED, "{message}");
    format!("{address}{path}")
}

pub(crate) async fn user(database: &TestDatabase) -> (String, String) {
    let sim = database.sim().await;
    let ada = sim.user("Ada").await;
    (sim.session(&ada).await, sim.workspace(&ada).await)
}

#[tokio::test]
async fn the_least_privileged_role_serves_a_whole_conversation() {
    let database = database().await;
    let (token, workspace) = user(&database).await;
    let (mut server, _directory) = serve(&database.url(), &[]);
    let address = server.address().await;
    healthy(&address).await;
    converse(&address, &token, &workspace).await;
    assert!(!server.log().contains(&token), "the log has the token");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));
}

#[tokio::test]
async fn sims_tables_may_live_in_another_database() {
    let (sim, ours) = (database().await, database().await);
    ours.superuser().await.batch_execute("drop table session, permissions, member, workspace cascade").await.unwrap();
    let (token, workspace) = user(&sim).await;
    let (mut server, _directory) = serve(&ours.url(), &[("SIM_DATABASE_URL", &sim.url())]);
    let address = server.address().await;
    converse(&address, &token, &workspace).await;
}

/// What the restart procedure asks of a server that has just started, with `curl -f` and no token.
#[tokio::test]
async fn the_checks_after_a_restart_pass_without_a_token() {
    let database = database().await;
    let (mut server, _directory) = serve(&database.url(), &[]);
    let address = server.address().await;
    healthy(&address).await;
    let answer = client().get(format!("{address}/api/v1/auth/status")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "authenticated": false }));
}

#[tokio::test]
async fn a_schema_that_is_behind_or_newer_is_refused() {
    let empty = empty_database().await;
    let (mut server, _directory) = serve(&empty.superuser_url(), &[]);
    assert_eq!(server.ended().await, Some(1));
    assert!(server.log().contains("parlant-migrate status"), "{}", server.log());

    let newer = database().await;
    let insert = "insert into parlant_migrations (version, name, applied_on, checksum)
        values (9999, 'of_tomorrow', '2026-01-01T00:00:00Z', '1')";
    newer.superuser().await.batch_execute(insert).await.unwrap();
    let (mut server, _directory) = serve(&newer.url(), &[]);
    assert_eq!(server.ended().await, Some(1));
    assert!(server.log().contains("parlant-migrate status"), "{}", server.log());
}

#[tokio::test]
async fn a_server_that_starts_before_its_database_waits_for_it() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    proxy.refuse().await;
    let (mut server, _directory) = serve(&database.url_through(proxy.address()), &[]);
    server.wait_for(|log| log.contains("Waiting for the database").then_some(())).await;
    proxy.restore().await;
    let address = server.address().await;
    healthy(&address).await;
}

#[tokio::test]
async fn a_request_under_way_is_answered_after_sigterm_and_a_stuck_one_ends_with_the_grace() {
    let database = database().await;
    let (token, workspace) = user(&database).await;
    let (mut server, _directory) = serve(&database.url(), &[("SHUTDOWN_GRACE", "2s")]);
    let address = server.address().await;
    healthy(&address).await;

    let body = json!({ "name": "Late", "workspace_id": workspace }).to_string();
    let head = format!(
        "POST /api/v1/agents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let connect = || TcpStream::connect(address.strip_prefix("http://").unwrap());
    let (mut late, mut stuck) = (connect().await.unwrap(), connect().await.unwrap());
    for stream in [&mut late, &mut stuck] {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..5]).await.unwrap();
    }
    // Both requests are with the server once it has something to do for a third.
    healthy(&address).await;

    server.signal(Signal::TERM);
    server.wait_for(|log| log.contains(r#""message":"Stopping""#).then_some(())).await;
    late.write_all(&body.as_bytes()[5..]).await.unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(server.ended().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_waits_for_nobody() {
    let database = database().await;
    let (mut server, _directory) = serve(&database.url(), &[("SHUTDOWN_GRACE", "60s")]);
    let address = server.address().await;
    let mut stuck = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    let half = "POST /api/v1/auth/validate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    stuck.write_all(half.as_bytes()).await.unwrap();
    healthy(&address).await;
    server.signal(Signal::TERM);
    server.wait_for(|log| log.contains(r#""message":"Stopping""#).then_some(())).await;
    let asked = std::time::Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(server.log().contains("Stopping at once"), "{}", server.log());
}

#[tokio::test]
async fn limits_and_trusted_proxies_are_those_of_the_settings() {
    let database = database().await;
    let settings = [("RATE_LIMIT_BURST", "1"), ("RATE_LIMIT_PER_MINUTE", "1"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let (mut server, _directory) = serve(&database.url(), &settings);
    let address = server.address().await;
    for (client_address, expected) in [
        ("198.51.100.1", StatusCode::OK),
        ("198.51.100.1", StatusCode::TOO_MANY_REQUESTS),
        ("198.51.100.2", StatusCode::OK),
    ] {
        let request = client().get(format!("{address}/api/v1/auth/status")).header("x-forwarded-for", client_address);
        assert_eq!(request.send().await.unwrap().status(), expected, "{client_address}");
    }
    server.wait_for(|log| log.contains(r#""client":"198.51.100.2""#).then_some(())).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let database = database().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (mut server, _directory) = serve(&database.url(), &[("PORT", &port)]);
    assert_eq!(server.ended().await, Some(1));
    assert!(server.log().contains(&port), "{}", server.log());
}
