//! The engine as the server's users see it: answers, and what becomes of them when something stops.

use std::time::{Duration, Instant};

use parlant_engine::echo::Echo;
use parlant_test_support::{TestDatabase, database};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::PATIENCE;
use crate::serve::{client, converse, serve, user};

/// The messages of a session, once something holds of them.
async fn messages_until(url: &str, token: &str, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page: Value = client().get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
        let messages = page["messages"].as_array().unwrap().clone();
        if holds(&messages) {
            return messages;
        }
        assert!(Instant::now() < deadline, "never: {what}\n{page:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn answered(messages: &[Value]) -> bool {
    messages.iter().any(|message| message["message_type"] == "agent")
}

/// Turns that a server holds.
async fn held(database: &TestDatabase) -> i64 {
    let held = "select count(*) from parlant_outbox where state = 'open' and attempts > 0 and due_at > now()";
    database.superuser().await.query_one(held, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_message_is_answered_and_the_report_says_by_whom() {
    let (database, echo) = (database().await, Echo::start().unwrap());
    let (token, workspace) = user(&database).await;
    let (mut server, _directory) = serve(&database.url(), &[("PARLANT_BASE_URL", &echo.config().base_url)]);
    let address = server.address().await;
    let messages = converse(&address, &token, &workspace).await;
    let messages = messages_until(&messages, &token, "an answer", answered).await;
    assert_eq!(messages[1]["content"], "(echo) Hello");
    assert_eq!(messages[1]["metadata"]["in_reply_to"], messages[0]["id"]);

    let report = client().get(format!("{address}/api/v1/health/detailed")).send().await.unwrap();
    let report: Value = report.json().await.unwrap();
    assert_eq!(report["checks"]["engine"]["status"], "healthy", "{report:#}");
    assert_eq!(report["checks"]["engine"]["critical"], false);
    assert_eq!(report["checks"]["engine"]["details"], json!({ "version": "echo" }));
    assert_eq!(report["dependencies"]["engine"]["status"], "healthy");
    let log = server.log();
    assert!(!log.contains("not answered"), "{log}");
    let ended = log.lines().find(|line| line.contains(r#""message":"A turn ended""#)).unwrap();
    let ended: Value = serde_json::from_str(ended).unwrap();
    assert!(ended["outcome"] == "answered" && ended["duration_ms"].is_u64(), "{ended}");
}

#[tokio::test]
async fn without_an_engine_messages_are_kept_and_the_log_says_so_once() {
    let database = database().await;
    let (token, workspace) = user(&database).await;
    let (mut server, _directory) = serve(&database.url(), &[]);
    let address = server.address().await;
    converse(&address, &token, &workspace).await;
    assert_eq!(server.log().matches("messages are stored and not answered").count(), 1, "{}", server.log());
    let report = client().get(format!("{address}/api/v1/health/detailed")).send().await.unwrap();
    let report: Value = report.json().await.unwrap();
    assert_eq!((&report["checks"]["engine"], &report["dependencies"]["engine"]), (&Value::Null, &Value::Null));
    let outbox = "select count(*) from parlant_outbox";
    assert_eq!(database.superuser().await.query_one(outbox, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_server_that_stops_leaves_its_turns_to_the_next_one_at_once() {
    let (database, echo) = (database().await, Echo::start().unwrap());
    let (token, workspace) = user(&database).await;
    let engine = echo.config().base_url;
    let environment = [("PARLANT_BASE_URL", engine.as_str()), ("SHUTDOWN_GRACE", "10s")];
    echo.pause(Duration::from_secs(5));
    let (mut server, _directory) = serve(&database.url(), &environment);
    let address = server.address().await;
    let messages = converse(&address, &token, &workspace).await;
    let deadline = Instant::now() + PATIENCE;
    while echo.posted().is_empty() {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(held(&database).await, 1);
    let stopped = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));
    assert!(stopped.elapsed() < Duration::from_secs(4), "{:?}", stopped.elapsed());
    assert_eq!(held(&database).await, 0, "{}", server.log());

    let (mut next, _directory) = serve(&database.url(), &environment);
    let messages = messages.replace(&address, &next.address().await);
    let messages = messages_until(&messages, &token, "an answer", answered).await;
    assert!(
        stopped.elapsed() < Duration::from_secs(12),
        "before the lease would have run out: {:?}",
        stopped.elapsed()
    );
    assert_eq!((messages.len(), echo.posted().len()), (2, 1), "{messages:#?}");
}

/// Reads until the stream has said this.
async fn hear(stream: &mut reqwest::Response, what: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(what) {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.unwrap().unwrap();
        heard += &String::from_utf8_lossy(&chunk.unwrap_or_else(|| panic!("it ended: {heard}")));
    }
    heard
}

#[tokio::test]
async fn who_listens_at_one_server_hears_at_once_what_another_one_does_and_keeps_none_from_stopping() {
    let (database, echo) = (database().await, Echo::start().unwrap());
    let (token, workspace) = user(&database).await;
    let engine = echo.config().base_url;
    let environment = [("PARLANT_BASE_URL", engine.as_str()), ("SHUTDOWN_GRACE", "30s")];
    let (mut one, _first) = serve(&database.url(), &environment);
    let (mut other, _second) = serve(&database.url(), &environment);
    let (address, elsewhere) = (one.address().await, other.address().await);
    let messages = converse(&address, &token, &workspace).await;
    let events = messages.replace("/messages", "/events");
    let mut stream = client().get(events).bearer_auth(&token).send().await.unwrap().error_for_status().unwrap();
    hear(&mut stream, "(echo) Hello").await;

    let said = Instant::now();
    let message = json!({ "content": "Anybody there?" });
    let post = client().post(messages.replace(&address, &elsewhere)).bearer_auth(&token).json(&message);
    post.send().await.unwrap().error_for_status().unwrap();
    hear(&mut stream, "(echo) Anybody there?").await;
    assert!(said.elapsed() < Duration::from_secs(5), "told, not found by looking again: {:?}", said.elapsed());

    let stopped = Instant::now();
    one.signal(Signal::TERM);
    while stream.chunk().await.unwrap().is_some() {}
    assert_eq!(one.ended().await, Some(0));
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
}
