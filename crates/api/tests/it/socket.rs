//! The WebSocket: what happens in whose sessions is told to whom, and when it is closed.

use std::time::{Duration, Instant};

use parlant_conversations::{TurnStatus, What};
use parlant_test_support::{database, signed_cookie};
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::house::{Options, People, Server, answer};
use crate::stream::{Conversation, Socket};

/// What an event says, and where.
fn about(event: &Value) -> (String, String) {
    (event["type"].as_str().unwrap().to_owned(), event["session_id"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn it_tells_of_sessions_messages_and_turns() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let agent = Conversation::start(ada, &people.workspace).await.agent;
    for query in [String::new(), format!("?workspace_id={}", people.workspace)] {
        let mut socket = Socket::of(&server, &people.ada_token, &query).await;
        let conversation = Conversation::with(ada, &people.workspace, agent.clone()).await;
        let place = |kind: &str| {
            json!({
                "type": kind, "workspace_id": people.workspace, "session_id": conversation.session, "agent_id": agent,
            })
        };
        let with = |kind: &str, name: &str, value: Value| {
            let mut event = place(kind);
            event[name] = value;
            event
        };
        assert_eq!(socket.next().await, Ok(place("session:started")));
        let message = conversation.say(ada, "hello").await;
        assert_eq!(socket.next().await, Ok(with("message:new", "message", message)));
        server.live.announce(conversation.notice(&people, What::Status(TurnStatus::Typing)));
        assert_eq!(socket.next().await, Ok(with("agent:status", "status", json!("typing"))));
        conversation.end(ada).await;
        assert_eq!(socket.next().await, Ok(place("session:ended")));
    }
}

#[tokio::test]
async fn each_is_told_of_its_own_and_an_administrator_of_all_in_the_workspace() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let tokens = [&people.ada_token, &people.bob_token, &people.reader_token, &people.writer_token];
    let ada = server.caller(&people.ada_token);
    let bob = server.caller(&people.bob_token);
    let here = Conversation::start(ada, &people.workspace).await.agent;
    let there = Conversation::start(bob, &people.bobs_workspace).await.agent;
    let mut sockets = Vec::new();
    for token in tokens {
        sockets.push(Socket::of(&server, token, "").await);
    }
    // Who, and what each of the four is to hear of it.
    let mut expected: [Vec<(String, String)>; 4] = Default::default();
    for _ in 0..60 {
        let who = *[0_usize, 1, 2, 3].choose(&mut rand::rng()).unwrap();
        let caller = server.caller(tokens[who]);
        let (workspace, agent) = if who == 1 { (&people.bobs_workspace, &there) } else { (&people.workspace, &here) };
        let conversation = Conversation::with(caller, workspace, agent.clone()).await;
        conversation.say(caller, "hello").await;
        conversation.end(caller).await;
        for event in ["session:started", "message:new", "session:ended"] {
            let event = (event.to_owned(), conversation.session.clone());
            expected[who].push(event.clone());
            if who > 1 {
                expected[0].push(event);
            }
        }
    }
    for (socket, expected) in sockets.iter_mut().zip(expected) {
        for event in expected {
            assert_eq!(about(&socket.next().await.unwrap()), event);
        }
    }
    // Nothing else comes: the next thing is what happens next.
    server.readiness.drain();
    for mut socket in sockets {
        assert_eq!(socket.closed().await.0, 1012);
    }
}

#[tokio::test]
async fn whom_a_page_of_another_origin_would_use_is_refused() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let mut options = Options::new(&database);
    options.cors_origins = vec!["https://sim.example.com".into()];
    let secret = "a secret of thirty-two characters";
    options.auth.better_auth_secret = Some(secret.into());
    let server = Server::with(options);
    let cookie = format!("better-auth.session_token={}", signed_cookie(&people.ada_token, secret));
    let bearer = format!("Bearer {}", people.ada_token);
    let own = format!("http://{}", server.address);
    for (headers, expected) in [
        (vec![("cookie", cookie.as_str())], None),
        (vec![("cookie", &cookie), ("origin", &own)], None),
        (vec![("cookie", &cookie), ("origin", "https://sim.example.com")], None),
        (vec![("authorization", &bearer), ("origin", "https://evil.example")], None),
        (vec![("cookie", &cookie), ("origin", "https://evil.example")], Some(403)),
        (vec![("cookie", &cookie), ("origin", "https://sim.example.com.evil.example")], Some(403)),
        (vec![("cookie", &cookie), ("origin", "http://sim.example.com")], Some(403)),
        (vec![("cookie", &cookie), ("origin", "null")], Some(403)),
        (vec![("origin", &own)], Some(401)),
        (vec![("authorization", "Bearer nonsense")], Some(401)),
    ] {
        let refused = Socket::connect(&server, "", &headers).await.err();
        assert_eq!(refused, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn what_is_no_handshake_or_nobodys_workspace_is_refused() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    let ada = server.caller(&people.ada_token);
    let plain = ada.get("/api/v1/agents/ws").await.refused(400, "INVALID_REQUEST");
    assert!(plain.to_string().contains("upgrade"), "{plain}");
    let bearer = format!("Bearer {}", people.ada_token);
    let elsewhere = format!("?workspace_id={}", people.bobs_workspace);
    for (query, status) in [(elsewhere.as_str(), 403), ("?workspace_id=nowhere", 403), ("?workspace=x", 400)] {
        let refused = Socket::connect(&server, query, &[("authorization", &bearer)]).await.err();
        assert_eq!(refused, Some(status), "{query}");
        answer(ada.request(reqwest::Method::GET, &format!("/api/v1/agents/ws{query}"))).await;
    }
    server.readiness.drain();
    let late = Socket::connect(&server, "", &[("authorization", &bearer)]).await.err();
    assert_eq!(late, Some(503));
}

#[tokio::test]
async fn a_socket_is_closed_with_its_reason() {
    let database = database().await;
    let sim = database.sim().await;
    let people = People::of(&sim).await;
    let server = Server::start(&database);
    let user = sim.user("Rob").await;
    sim.permission(&user, &people.workspace, "read").await;
    let (token, other_token) = (sim.session(&user).await, sim.session(&user).await);
    let within = format!("?workspace_id={}", people.workspace);
    let mut signed_out = Socket::of(&server, &token, "").await;
    let mut confined = Socket::of(&server, &other_token, &within).await;
    let mut everywhere = Socket::of(&server, &other_token, "").await;
    sim.sign_out(&token).await;
    let start = Instant::now();
    assert_eq!(signed_out.closed().await, (1008, "revoked".into()));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    sim.revoke_permission(&user, &people.workspace).await;
    assert_eq!(confined.closed().await, (1008, "revoked".into()));
    // The other has lost a workspace, not its session.
    assert_eq!(everywhere.next().await, Ok(json!({"type": "events:missed"})));
    sim.permission(&user, &people.workspace, "read").await;
    assert_eq!(everywhere.next().await, Ok(json!({"type": "events:missed"})));
    let agent = Conversation::start(server.caller(&people.ada_token), &people.workspace).await.agent;
    let conversation = Conversation::with(server.caller(&other_token), &people.workspace, agent).await;
    assert_eq!(about(&everywhere.next().await.unwrap()), ("session:started".into(), conversation.session));
}

#[tokio::test]
async fn a_client_may_ping_and_say_goodbye_and_nothing_else() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    for (message, code) in [
        (Message::text("{}"), 1003),
        (Message::binary(vec![1, 2, 3]), 1003),
        (Message::text("x".repeat(2000)), 1009),
        (Message::Close(None), 1000),
    ] {
        let mut socket = Socket::of(&server, &people.ada_token, "").await;
        socket.send(Message::Ping(b"are you there"[..].to_vec().into())).await;
        socket.send(message).await;
        assert_eq!(socket.closed().await.0, code);
    }
}
