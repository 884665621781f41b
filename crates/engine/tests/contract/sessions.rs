//! Whether what is said is answered, and what is not.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlant_engine::{Error, Kind, Open, Said, Status, customer_id};
use serde_json::Value;
use uuid::Uuid;

use super::{Peer, answers, matched, some_guidelines};

const AT_ONCE: Duration = Duration::ZERO;

pub(crate) async fn a_message_is_answered(peer: &Peer) {
    let agent = peer.agent(&some_guidelines()).await;
    let twin = peer.open(agent).await;
    let message_id = Uuid::now_v7();
    let said = peer.engine.say(&twin, message_id, "hello").await.unwrap();
    let events = peer.turn(&twin, said.offset).await;
    let offsets: Vec<_> = events.iter().map(|event| event.offset).collect();
    let expected: Vec<_> = (said.offset..).take(events.len()).collect();
    assert_eq!(offsets, expected);
    assert!(events.iter().all(|event| event.trace_id == said.trace_id), "{events:?}");
    assert_eq!(events[0].kind, Kind::CustomerMessage { message_id: Some(message_id) });
    assert_eq!(answers(&events), [format!("{}hello", peer.prefix)]);
    let guidelines = peer.guidelines(agent).await;
    let place = |wanted: fn(&Kind) -> bool| events.iter().position(|event| wanted(&event.kind)).unwrap();
    let acknowledged = place(|kind| *kind == Kind::Status(Status::Acknowledged));
    let processing = place(|kind| matches!(kind, Kind::Status(Status::Processing { stage: Some(_) })));
    let typing = place(|kind| *kind == Kind::Status(Status::Typing));
    let answer = place(|kind| matches!(kind, Kind::AgentMessage { .. }));
    let completed = place(|kind| matches!(kind, Kind::Status(Status::Completed { .. })));
    assert!([acknowledged, processing, typing, answer, completed].is_sorted(), "{events:?}");
    // Others may be everybody's: see what is done by hand.
    let matched = matched(&events);
    let missed = guidelines.values().find(|guideline| !matched.contains(guideline["id"].as_str().unwrap()));
    assert_eq!(missed, None);
}

pub(crate) async fn what_is_said_arrives_as_it_is(peer: &Peer) {
    let twin = peer.open(peer.agent(&[]).await).await;
    let long = "Grüße, 世界 \u{1f600} \"quoted\" \\ {{ x }} </b>\n".repeat(700);
    assert_eq!(peer.talk(&twin, &long).await, [format!("{}{long}", peer.prefix)]);
}

pub(crate) async fn a_poll_without_news_is_empty(peer: &Peer) {
    let twin = peer.open(peer.agent(&[]).await).await;
    let begun = Instant::now();
    assert_eq!(peer.engine.events(&twin, 0, AT_ONCE).await.unwrap(), []);
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(peer.engine.events(&twin, 0, Duration::from_secs(1)).await.unwrap(), []);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

pub(crate) async fn a_failed_turn_says_so_after_its_end(peer: &Peer) {
    let twin = peer.open(peer.agent(&[]).await).await;
    let text = (peer.fail)("hello");
    let said = peer.engine.say(&twin, Uuid::now_v7(), &text).await.unwrap();
    let mut events = peer.turn(&twin, said.offset).await;
    // The end is told first; the failure is right behind it.
    let failed = events.pop().unwrap();
    assert_eq!((failed.kind, failed.trace_id), (Kind::Status(Status::Failed), said.trace_id));
    assert!(matches!(events.last().unwrap().kind, Kind::Status(Status::Completed { .. })), "{events:?}");
    assert!(answers(&events).is_empty());
    // The next turn is none the worse.
    assert_eq!(peer.talk(&twin, "again").await, [format!("{}again", peer.prefix)]);
}

pub(crate) async fn a_lost_twin_is_not_found(peer: &Peer) {
    let (twin, id) = ("nosuchtwin", Uuid::now_v7());
    let engine = &peer.engine;
    let errors = [
        engine.say(twin, id, "hello").await.unwrap_err(),
        engine.find(twin, id, 0).await.unwrap_err(),
        engine.events(twin, 0, AT_ONCE).await.unwrap_err(),
        engine.events(twin, 0, Duration::from_secs(2)).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| matches!(error, Error::NotFound)), "{errors:?}");
    engine.close(twin).await.unwrap();
}

pub(crate) async fn a_twin_needs_its_agent(peer: &Peer) {
    let customer_id = customer_id("w", "u");
    let open = Open { agent_id: Uuid::now_v7(), session_id: Uuid::now_v7(), customer_id, history: &[] };
    assert!(matches!(peer.engine.open(&open).await, Err(Error::NotFound)));
}

pub(crate) async fn a_closed_twin_is_gone(peer: &Peer) {
    let agent = peer.agent(&[]).await;
    let (closed, other) = (peer.open(agent).await, peer.open(agent).await);
    for twin in [&*closed, &*closed, ""] {
        peer.engine.close(twin).await.unwrap();
    }
    assert!(matches!(peer.engine.events(&closed, 0, AT_ONCE).await, Err(Error::NotFound)));
    assert_eq!(peer.engine.events(&other, 0, AT_ONCE).await.unwrap(), []);
}

pub(crate) async fn history_is_told_again_and_not_answered(peer: &Peer) {
    let agent_id = peer.agent(&some_guidelines()).await;
    let history = [Said::Customer("one".to_owned()), Said::Agent("two".to_owned()), Said::Customer("three".to_owned())];
    let open = Open { agent_id, session_id: Uuid::now_v7(), customer_id: customer_id("w", "u"), history: &history };
    let twin = peer.engine.open(&open).await.unwrap();
    let events = peer.engine.events(&twin, 0, AT_ONCE).await.unwrap();
    assert_eq!(events.iter().map(|event| &event.kind).collect::<Vec<_>>(), [&Kind::Other; 3]);
    // The engine knows them nevertheless.
    let told = peer.read(&format!("sessions/{twin}/events?wait_for_data=0")).await;
    let told: Vec<_> = told.as_array().unwrap().iter().map(|event| event["data"]["message"].clone()).collect();
    assert_eq!(told, ["one", "two", "three"]);
    assert_eq!(peer.engine.events(&twin, 3, Duration::from_secs(1)).await.unwrap(), []);
    assert_eq!(peer.talk(&twin, "four").await, [format!("{}four", peer.prefix)]);
}

pub(crate) async fn a_message_is_found_by_our_id(peer: &Peer) {
    let twin = peer.open(peer.agent(&[]).await).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let said = peer.engine.say(&twin, first, "hello").await.unwrap();
    assert_eq!(peer.engine.find(&twin, first, 0).await.unwrap(), Some(said.clone()));
    assert_eq!(peer.engine.find(&twin, first, said.offset).await.unwrap(), Some(said.clone()));
    assert_eq!(peer.engine.find(&twin, first, said.offset + 1).await.unwrap(), None);
    assert_eq!(peer.engine.find(&twin, second, 0).await.unwrap(), None);
}

pub(crate) async fn an_empty_message_is_rejected(peer: &Peer) {
    let twin = peer.open(peer.agent(&[]).await).await;
    let error = peer.engine.say(&twin, Uuid::now_v7(), "").await.unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
}

pub(crate) async fn another_message_cancels_the_turn(peer: &Peer) {
    (peer.slow_down)();
    let twin = peer.open(peer.agent(&some_guidelines()).await).await;
    let first = peer.engine.say(&twin, Uuid::now_v7(), "first").await.unwrap();
    let mut seen = first.offset + 1;
    // It has begun.
    seen += i64::try_from(peer.engine.events(&twin, seen, Duration::from_secs(5)).await.unwrap().len()).unwrap();
    let second = peer.engine.say(&twin, Uuid::now_v7(), "second").await.unwrap();
    let mut events = peer.turn(&twin, seen).await;
    while !events.iter().any(|event| event.trace_id == second.trace_id && ended(&event.kind)) {
        let next = events.last().unwrap().offset + 1;
        events.extend(peer.engine.events(&twin, next, Duration::from_secs(20)).await.unwrap());
    }
    let of_first: Vec<_> =
        events.iter().filter(|event| event.trace_id == first.trace_id).map(|event| &event.kind).collect();
    let (completed, before) = of_first.split_last().unwrap();
    assert!(ended(completed) && before.contains(&&Kind::Status(Status::Cancelled)), "{events:?}");
    assert_eq!(answers(&events), [format!("{}second", peer.prefix)]);
}

fn ended(kind: &Kind) -> bool {
    matches!(kind, Kind::Status(Status::Completed { .. }))
}

pub(crate) async fn a_twin_without_its_agent_stays_silent(peer: &Peer) {
    let agent = peer.agent(&[]).await;
    let twin = peer.open(agent).await;
    assert_eq!(peer.raw("DELETE", &format!("agents/{agent}"), Value::Null).await.0, 204);
    let said = peer.engine.say(&twin, Uuid::now_v7(), "anybody?").await.unwrap();
    assert_eq!(peer.engine.events(&twin, said.offset + 1, Duration::from_secs(2)).await.unwrap(), []);
}

pub(crate) async fn fifty_conversations_at_once_keep_apart(peer: &Peer) {
    let agent = peer.agent(&some_guidelines()).await;
    let conversation = async |number: usize| {
        let twin = peer.open(agent).await;
        for turn in 0..2 {
            let text = format!("conversation {number}, turn {turn}");
            assert_eq!(peer.talk(&twin, &text).await, [format!("{}{text}", peer.prefix)]);
        }
    };
    join_all((0..50).map(conversation)).await;
}

pub(crate) async fn health_tells_the_version(peer: &Peer) {
    for _ in 0..2 {
        // How late its loop is depends on what else this machine does.
        assert_eq!(peer.engine.health().await.unwrap().version.as_deref(), Some(peer.version));
    }
}
