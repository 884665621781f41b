//! A session as server-sent events: nothing lost, nothing twice, nobody else's, and an end when there must be one.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use parlant_conversations::{MAX_STREAMS_PER_USER, TurnStatus, What};
use parlant_test_support::database;
use serde_json::json;

use crate::house::{People, Server, answer, completed, eventually, scraped};
use crate::stream::{Conversation, Events};

#[tokio::test]
async fn a_stream_tells_what_was_and_then_what_happens() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let conversation = Conversation::start(ada, &people.workspace).await;
    let mut said = Vec::new();
    for number in 0..30 {
        said.push(conversation.say(ada, &format!("line\n\ndata: {number}")).await);
    }
    let mut events = conversation.follow(ada).await;
    assert_eq!(events.header("cache-control"), "no-cache");
    assert_eq!(events.header("x-accel-buffering"), "no");
    let request_id = events.header("x-request-id").to_owned();
    for message in &said {
        assert_eq!(events.message().await, *message);
    }
    let message = conversation.say(ada, "and now").await;
    assert_eq!(events.message().await, message);

    let statuses = [
        (TurnStatus::Acknowledged, "acknowledged"),
        (TurnStatus::Processing, "processing"),
        (TurnStatus::Typing, "typing"),
        (TurnStatus::Ready, "ready"),
        (TurnStatus::Failed, "failed"),
    ];
    for (status, name) in statuses {
        server.live.announce(conversation.notice(&people, What::Status(status)));
        let event = events.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.id), ("status", None));
        let expected = json!({"session_id": conversation.session, "agent_id": conversation.agent, "status": name});
        assert_eq!(event.data, expected);
    }

    conversation.end(ada).await;
    let end = events.next().await.unwrap();
    assert_eq!((end.name.as_str(), end.id), ("session:ended", None));
    assert_eq!(end.data, json!({"session_id": conversation.session}));
    assert_eq!(events.next().await, None);
    let line = completed(&request_id).await;
    assert_eq!((&line["status_code"], &line["path"]), (&json!(200), &json!("/api/v1/agents/sessions/{id}/events")));
    assert!(line["bytes"].as_f64() > Some(1000.0), "{line}");
}

#[tokio::test]
async fn streams_are_counted_and_not_timed() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let conversation = Conversation::start(ada, &people.workspace).await;
    let route = [("method", "GET"), ("endpoint", "/api/v1/agents/sessions/{id}/events"), ("status", "200")];
    let before = scraped("parlant_http_requests_total", &route);
    let mut events = conversation.follow(ada).await;
    assert!(scraped("parlant_live_streams", &[("kind", "sse")]) >= 1.0);
    conversation.end(ada).await;
    while events.next().await.is_some() {}
    eventually("counted", async || scraped("parlant_http_requests_total", &route) > before).await;
    let page = server.get("/metrics").await.text;
    let mut timed = page.lines().filter(|line| line.starts_with("parlant_http_request_duration_seconds"));
    assert!(!timed.any(|line| line.contains("/events\"") || line.contains("/ws\"")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_back_loses_and_doubles_nothing_while_others_write() {
    const WRITERS: usize = 3;
    const EACH: usize = 60;
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let conversation = Conversation::start(ada, &people.workspace).await;
    let write = |writer: usize| {
        let conversation = &conversation;
        async move {
            for number in 0..EACH {
                conversation.say(ada, &format!("{writer}-{number}")).await;
            }
        }
    };
    let read = async {
        let mut seen: Vec<String> = Vec::new();
        let mut times_back = 0;
        while seen.len() < WRITERS * EACH {
            let last = i64::try_from(seen.len()).unwrap() - 1;
            let mut events =
                if last < 0 { conversation.follow(ada).await } else { conversation.resume(ada, last).await };
            for _ in 0..rand::random_range(1..12) {
                if seen.len() == WRITERS * EACH {
                    break;
                }
                let message = events.message().await;
                assert_eq!(message["offset"], seen.len(), "in order, without a gap");
                seen.push(message["content"].as_str().unwrap().to_owned());
            }
            times_back += 1;
        }
        (seen, times_back)
    };
    let ((seen, times_back), _) = tokio::join!(read, futures_util::future::join_all((0..WRITERS).map(write)));
    assert!(times_back > 10, "{times_back}");
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), WRITERS * EACH);
}

#[tokio::test]
async fn it_begins_where_the_client_says_and_the_header_of_who_comes_back_wins() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let conversation = Conversation::start(ada, &people.workspace).await;
    for number in 0..5 {
        conversation.say(ada, &number.to_string()).await;
    }
    let after = |query: &str| ada.request(reqwest::Method::GET, &format!("{}/events{query}", conversation.path()));
    for (request, first) in [
        (after(""), 0),
        (after("?after=0"), 1),
        (after("?after=3"), 4),
        (after("?after=1").header("last-event-id", "2"), 3),
    ] {
        assert_eq!(Events::of(request).await.message().await["offset"], first);
    }
    for (request, field) in [
        (after("?after=-1"), "after"),
        (after("?after=x"), "after"),
        (after("?offset=1"), "offset"),
        (after("").header("last-event-id", "one"), "last-event-id"),
        (after("").header("last-event-id", "-1"), "last-event-id"),
    ] {
        let details = answer(request).await.refused(400, "INVALID_REQUEST");
        assert!(details["field_errors"].to_string().contains(field), "{details}");
    }
    // Beyond the end there is nothing yet.
    let mut beyond = Events::of(after("?after=4294967295")).await;
    conversation.end(ada).await;
    assert_eq!(beyond.next().await.unwrap().name, "session:ended");
    // What has ended is told once more, and then a client need not come back.
    let mut again = Events::of(after("?after=3")).await;
    assert_eq!(again.message().await["offset"], 4);
    assert_eq!(again.next().await.unwrap().name, "session:ended");
    assert_eq!(again.next().await, None);
    assert_eq!(answer(after("").header("last-event-id", "4")).await.status, 204);
}

#[tokio::test]
async fn only_who_may_read_a_session_may_follow_it() {
    let database = database().await;
    let sim = database.sim().await;
    let people = People::of(&sim).await;
    let admin = sim.user("Amy").await;
    sim.permission(&admin, &people.workspace, "admin").await;
    let admin_token = sim.session(&admin).await;
    let server = Server::start(&database);
    let writer = server.caller(&people.writer_token);
    let ada = server.caller(&people.ada_token);
    let agent = Conversation::start(ada, &people.workspace).await.agent;
    let conversation = Conversation::with(writer, &people.workspace, agent).await;
    for stranger in [&people.bob_token, &people.reader_token] {
        answer(conversation.ask(server.caller(stranger))).await.refused(404, "SESSION_NOT_FOUND");
    }
    for known in [&admin_token, &people.ada_token, &people.writer_token] {
        let mut events = conversation.follow(server.caller(known)).await;
        conversation.say(writer, "hello").await;
        events.message().await;
    }
    let nobody = server.request(reqwest::Method::GET, &format!("{}/events", conversation.path()));
    answer(nobody).await.refused(401, "AUTHENTICATION_REQUIRED");
    let head = ada.request(reqwest::Method::HEAD, &format!("{}/events", conversation.path()));
    assert_eq!(head.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_stream_ends_soon_after_the_right_to_it() {
    let database = database().await;
    let sim = database.sim().await;
    let people = People::of(&sim).await;
    let server = Server::start(&database);
    let agent = Conversation::start(server.caller(&people.ada_token), &people.workspace).await.agent;
    let reader = sim.user("Rob").await;
    sim.permission(&reader, &people.workspace, "read").await;
    let (token, other_token) = (sim.session(&reader).await, sim.session(&reader).await);
    let caller = server.caller(&token);
    let conversation = Conversation::with(caller, &people.workspace, agent).await;
    let mut signed_out = conversation.follow(caller).await;
    let mut thrown_out = conversation.follow(server.caller(&other_token)).await;
    sim.sign_out(&token).await;
    let start = Instant::now();
    let end = signed_out.next().await.unwrap();
    assert_eq!((end.name.as_str(), &end.data), ("end", &json!({"reason": "revoked"})));
    assert_eq!(signed_out.next().await, None);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    sim.revoke_permission(&reader, &people.workspace).await;
    let start = Instant::now();
    assert_eq!(thrown_out.next().await.unwrap().data, json!({"reason": "revoked"}));
    assert_eq!(thrown_out.next().await, None);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_user_has_so_many_streams_and_gets_a_place_back() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let conversation = Conversation::start(ada, &people.workspace).await;
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS_PER_USER {
        open.push(conversation.follow(ada).await);
    }
    let refused = answer(conversation.ask(ada)).await;
    let details = refused.refused(429, "WORKSPACE_LIMIT_EXCEEDED");
    assert_eq!(details["limit"], MAX_STREAMS_PER_USER);
    let will = server.caller(&people.writer_token);
    let other = Conversation::with(will, &people.workspace, conversation.agent.clone()).await;
    let _others = other.follow(will).await;
    open.pop();
    eventually("a place", async || conversation.ask(ada).send().await.unwrap().status() == 200).await;
}

#[tokio::test]
async fn streams_do_not_hold_up_the_end_of_a_server() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let conversation = Conversation::start(ada, &people.workspace).await;
    conversation.say(ada, "hello").await;
    let mut events = conversation.follow(ada).await;
    events.message().await;
    server.readiness.drain();
    let end = events.next().await.unwrap();
    assert_eq!((end.name.as_str(), &end.data), ("end", &json!({"reason": "draining"})));
    assert_eq!(events.next().await, None);
    // Who comes now is told what there is, and to go.
    let mut late = conversation.follow(ada).await;
    late.message().await;
    assert_eq!(late.next().await.unwrap().data, json!({"reason": "draining"}));
    assert_eq!(late.next().await, None);
    let start = Instant::now();
    server.handle.stop(true).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
