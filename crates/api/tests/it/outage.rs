//! The database gone, back, hanging, or wrong: what clients see meanwhile, and how soon it is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parlant_test_support::{ChaosProxy, database};
use serde_json::{Value, json};

use crate::house::{Answer, Options, People, Server, answer, eventually, logged};

/// What must never reach a client.
fn assert_opaque(answer: &Answer, port: u16) {
    let text = answer.text.to_ascii_lowercase();
    let port = port.to_string();
    for inside in [
        "127.0.0.1",
        port.as_str(),
        "parlant_",
        "postgres",
        "select",
        "connection",
        "timed out",
        "tokio",
        "column",
        "relation",
    ] {
        assert!(!text.contains(inside), "{inside}: {answer:?}");
    }
    assert_eq!(answer.json()["error"]["details"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_503_and_over_within_two_seconds() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let people = People::of(&database.sim().await).await;
    let mut options = Options::at(database.url_through(proxy.address()));
    // Half of the callers are asked about anew each time: an outage must not sign them out.
    options.auth.cache_ttl = Duration::from_millis(50);
    options.checks_database = true;
    let server = Arc::new(Server::with(options));

    let ada = server.caller(&people.ada_token);
    let agent = json!({"workspace_id": people.workspace, "name": "Guide"});
    let agent = ada.post("/api/v1/agents", &agent).await.expect(201);
    let session = json!({"workspace_id": people.workspace, "agent_id": agent["id"]});
    let session = ada.post("/api/v1/agents/sessions", &session).await;
    let messages = format!("{}/messages", session.header("location"));

    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|task| {
            let (server, stop, messages) = (Arc::clone(&server), Arc::clone(&stop), messages.clone());
            let token = people.ada_token.clone();
            tokio::spawn(async move {
                let ada = server.caller(&token);
                let mut seen = Vec::new();
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let answer = match (task + round) % 3 {
                        0 => ada.get("/api/v1/agents").await,
                        1 => ada.post(&messages, &json!({"content": "Hi"})).await,
                        _ => ada.get("/api/v1/auth/me").await,
                    };
                    seen.push((Instant::now(), answer));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                seen
            })
        })
        .collect();

    eventually("ready", async || server.get("/readyz").await.status == 200).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let down = Instant::now();
    proxy.refuse().await;
    proxy.cut();
    eventually("not ready", async || server.get("/readyz").await.status == 503).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.get("/livez").await.status, 200);
    proxy.restore().await;
    let back = Instant::now();
    eventually("ready again", async || server.get("/readyz").await.status == 200).await;
    // Two looks, half a second apart.
    assert!(back.elapsed() < Duration::from_secs(4), "{:?}", back.elapsed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);

    let mut statuses = BTreeSet::new();
    let mut last_failure = down;
    let mut served_after = 0;
    for task in load {
        for (at, answer) in task.await.unwrap() {
            statuses.insert(answer.status.as_u16());
            if answer.status == 503 {
                answer.refused(503, "SERVICE_UNAVAILABLE");
                assert_eq!(answer.header("retry-after"), "2");
                assert_opaque(&answer, proxy.address().port());
                let lines = logged(answer.header("x-request-id"));
                let causes = lines.iter().filter(|line| line["error"].is_string());
                assert_eq!(causes.count(), 1, "{lines:?}");
                assert!(at >= down, "failed while all was well: {answer:?}");
                last_failure = last_failure.max(at);
            } else if at > back {
                served_after += 1;
            }
        }
    }
    assert_eq!(statuses, BTreeSet::from([200, 201, 503]));
    let recovery = last_failure.saturating_duration_since(back);
    assert!(recovery < Duration::from_secs(2), "{recovery:?}");
    assert!(served_after > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_never_answers_is_bounded_by_the_timeouts() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let people = People::of(&database.sim().await).await;
    let mut options = Options::at(database.url_through(proxy.address()));
    options.pool = |config| {
        config.pool_size = 2;
        config.max_overflow = 2;
        config.pool_timeout = Duration::from_secs(1);
        config.connection_timeout = Duration::from_secs(1);
        config.command_timeout = Duration::from_secs(1);
    };
    let server = Server::with(options);
    let ada = server.caller(&people.ada_token);
    ada.get("/api/v1/agents").await.expect(200);
    proxy.hang();
    let hung = Instant::now();
    let requests = (0..16).map(|index| async move {
        // The last ones are people whom the cache does not know.
        if index < 12 { ada.get("/api/v1/agents").await } else { server_get(ada, index).await }
    });
    for answer in futures_util::future::join_all(requests).await {
        answer.refused(503, "SERVICE_UNAVAILABLE");
        assert_opaque(&answer, proxy.address().port());
    }
    assert!(hung.elapsed() < Duration::from_secs(5), "{:?}", hung.elapsed());
    let before = Instant::now();
    server.get("/livez").await.expect(200);
    ada.get("/api/v1/auth/me").await.expect(200);
    assert!(before.elapsed() < Duration::from_millis(900));

    proxy.restore().await;
    let back = Instant::now();
    eventually("well again", async || ada.get("/api/v1/agents").await.status == 200).await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
}

async fn server_get(ada: crate::house::Caller<'_>, index: usize) -> Answer {
    let path = "/api/v1/auth/validate";
    ada.post(path, &json!({"token": format!("unknown{index}")})).await
}

#[tokio::test]
async fn a_defect_is_500_and_its_cause_is_logged_once() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    ada.get("/api/v1/agents").await.expect(200);
    let superuser = database.superuser().await;
    let wrong = "alter table parlant_agent rename column description to descrption";
    superuser.batch_execute(wrong).await.unwrap();
    let request = ada.request(reqwest::Method::GET, "/api/v1/agents");
    let failed = answer(request.header("x-request-id", "defect-1")).await;
    failed.refused(500, "INTERNAL_ERROR");
    assert_opaque(&failed, database.address().port());

    eventually("both lines", async || logged("defect-1").len() >= 2).await;
    let lines = logged("defect-1");
    let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{lines:?}");
    let cause = errors[0]["error"].as_str().unwrap();
    assert!(cause.contains("column") && cause.contains("description"), "{cause}");
    assert_eq!(errors[0]["code"], "INTERNAL_ERROR");
    assert_eq!(errors[0]["user_id"], *people.ada);
}
