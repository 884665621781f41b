//! Messages are answered: once, in order, and so that everybody learns of it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use parlant_conversations::{
    Actor, Conversations, DeliveryConfig, Limits, MessageType, NewMessage, Signal, Subscription, TurnStatus,
    UsageSampler, What,
};
use parlant_engine::echo::PREFIX;
use parlant_engine::{Engine, Kind};
use serde_json::json;

use crate::house::{admin, config, house, says};
use crate::stage::{QUICK, Verdict, ada, stage};

async fn next(subscription: &mut Subscription) -> What {
    match subscription.next().await {
        Signal::Notice(notice) => notice.what,
        Signal::Missed => panic!("nobody was slow"),
    }
}

#[tokio::test]
async fn a_message_is_answered_and_everybody_who_listens_learns_of_it() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    let mut workspace = stage.house.conversations.live().workspaces(["w".to_owned()]);
    let session = stage.session().await;
    assert_eq!(next(&mut workspace).await, What::SessionStarted);
    let mut live = stage.house.conversations.live().session(session);
    let posted = stage.post(session, "Hello").await;

    let mut heard = Vec::new();
    while heard.last() != Some(&What::Status(TurnStatus::Ready)) {
        heard.push(next(&mut live).await);
    }
    let place = |what| heard.iter().position(|heard| *heard == what).unwrap_or_else(|| panic!("{what:?} in {heard:?}"));
    assert_eq!(place(What::Message { offset: 0 }), 0);
    assert!(place(What::Status(TurnStatus::Processing)) < place(What::Message { offset: 1 }));

    let messages = stage.messages(session).await;
    let answer = serde_json::to_value(&messages[1]).unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!((&answer["content"], &answer["message_type"]), (&json!(format!("{PREFIX}Hello")), &json!("agent")));
    assert_eq!(answer["metadata"]["in_reply_to"], json!(posted.id));
    assert_eq!(answer["metadata"]["matched_guidelines"], json!([]));
    assert!(answer["metadata"]["processing_time_ms"].as_u64().unwrap() < 20_000);
    assert_eq!(stage.settled().await, Verdict { answered: 1, ..Verdict::default() });

    stage.house.conversations.end_session(&ada(), session).await.unwrap();
    assert_eq!(next(&mut live).await, What::SessionEnded);
    // Ending it again is no news: what comes next is another session's start.
    stage.house.conversations.end_session(&ada(), session).await.unwrap();
    stage.session().await;
    while next(&mut workspace).await != What::SessionEnded {}
    assert_eq!(next(&mut workspace).await, What::SessionStarted);
    let admin = admin("eve", "w");
    stage.house.conversations.archive_agent(&admin, stage.agent.id).await.unwrap();
    assert_eq!(next(&mut workspace).await, What::SessionEnded);
}

/// Each session has messages that were posted before anybody answered, and one after each answer.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_sessions_at_once_are_answered_each_in_its_order() {
    // However busy this machine is, nobody takes a turn for abandoned.
    let patient = DeliveryConfig { lease: Duration::from_mins(1), ..QUICK };
    let mut stage = stage(patient).await;
    stage.echo.pause(Duration::from_millis(5));
    let users: Vec<_> = (0..50).map(|number| format!("user-{number}")).collect();
    let talk = async |user: &str| {
        let actor = Actor::new(user, [("w", parlant_auth_bridge::Permission::Read)]);
        let session = stage.house.session(&actor, &stage.agent).await.id;
        for number in 0..4 {
            stage.house.post(&actor, session, &format!("{user} says {number}")).await;
        }
        session
    };
    let sessions = join_all(users.iter().map(|user| talk(user))).await;
    let _running = stage.run();
    let _other = stage.replica(patient, &config(stage.database().url()));
    let more = async |(user, session): (&String, &uuid::Uuid)| {
        let actor = Actor::new(user, [("w", parlant_auth_bridge::Permission::Read)]);
        for number in 4..6 {
            stage.house.post(&actor, *session, &format!("{user} says {number}")).await;
        }
    };
    join_all(users.iter().zip(&sessions).map(more)).await;

    assert_eq!(stage.settled().await, Verdict { answered: 300, ..Verdict::default() });
    // Each was said once, one customer for each user, one session for each session.
    let mut posted = stage.echo.posted();
    assert_eq!(posted.len(), 300);
    posted.sort_unstable();
    posted.dedup();
    assert_eq!((posted.len(), stage.echo.sessions(), stage.echo.agents()), (300, 50, 1));
}

#[tokio::test]
async fn only_new_messages_of_users_wait_for_an_answer() {
    let stage = stage(QUICK).await;
    let session = stage.session().await;
    let open = "select count(*) from parlant_outbox";
    let keyed = NewMessage { idempotency_key: Some("k".to_owned()), ..says("Hello") };
    let conversations = &stage.house.conversations;
    for _ in 0..3 {
        conversations.post_message(&ada(), session, keyed.clone()).await.unwrap();
    }
    assert_eq!(stage.house.count(open).await, 1);
    let note = NewMessage { message_type: MessageType::System, ..says("A note") };
    conversations.post_message(&ada(), session, note).await.unwrap();
    assert_eq!(stage.house.count(open).await, 1);
    let sampler = UsageSampler::new(stage.house.pool.clone());
    let usage = sampler.sample().await.unwrap();
    assert_eq!(usage.outbox_pending, 1);
    assert!(usage.outbox_oldest > Duration::ZERO);

    // Without an engine nobody waits.
    let house = house().await;
    let agent = house.agent("w", "Help").await;
    let session = house.session(&ada(), &agent).await;
    house.post(&ada(), session.id, "Hello").await;
    assert_eq!(house.count("select count(*) from parlant_outbox").await, 0);
    assert_eq!(house.count("select sum(open_turns) from parlant_session").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_twenty_times_at_once_is_one_turn() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    let session = stage.session().await;
    for round in 0..3 {
        let keyed = || NewMessage { idempotency_key: Some(format!("k{round}")), ..says("Hello") };
        let actor = ada();
        join_all((0..20).map(|_| stage.house.conversations.post_message(&actor, session, keyed()))).await;
    }
    assert_eq!(stage.settled().await, Verdict { answered: 3, ..Verdict::default() });
    assert_eq!(stage.echo.posted().len(), 3);
}

#[tokio::test]
async fn a_session_goes_on_with_its_history_after_the_engine_forgot_everything() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    let session = stage.session().await;
    // Posted at once: their answers come later than the messages behind them.
    for text in ["One", "Two"] {
        stage.post(session, text).await;
    }
    stage.settled().await;
    stage.echo.forget();
    stage.post(session, "Three").await;
    assert_eq!(stage.settled().await, Verdict { answered: 3, ..Verdict::default() });
    assert_eq!((stage.echo.posted().len(), stage.echo.sessions(), stage.echo.agents()), (3, 1, 1));

    // Four things were told again, then the third message was said.
    let client = stage.database().superuser().await;
    let twin: String = client.query_one("select twin from parlant_engine_session", &[]).await.unwrap().get(0);
    let engine = Engine::new(&stage.echo.config()).unwrap();
    let events = engine.events(&twin, 0, Duration::ZERO).await.unwrap();
    let told: Vec<_> = events.iter().take_while(|event| event.kind == Kind::Other).collect();
    assert_eq!(told.len(), 4, "{events:?}");
    assert!(matches!(events[4].kind, Kind::CustomerMessage { message_id: Some(_) }), "{events:?}");
}

#[tokio::test]
async fn a_message_waits_until_it_is_wanted_no_longer_than_it_takes() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    let session = stage.session().await;
    stage.post(session, "Warm up").await;
    stage.settled().await;
    let start = Instant::now();
    for number in 0..20 {
        let mut live = stage.house.conversations.live().session(session);
        stage.post(session, &number.to_string()).await;
        while next(&mut live).await != What::Status(TurnStatus::Ready) {}
    }
    // Whoever posts wakes the delivery: nothing waits for the next look at the outbox.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// On one thread, so that this thread's recorder sees everything.
#[tokio::test(flavor = "current_thread")]
async fn turns_are_counted_by_their_outcome() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let mut stage = stage(QUICK).await;
    for outcome in ["answered", "engine_error", "timeout", "cancelled", "rejected", "gone"] {
        assert!(handle.render().contains(&format!("parlant_engine_turns_total{{outcome=\"{outcome}\"}} 0")));
    }
    let _running = stage.run();
    let session = stage.session().await;
    stage.echo.fail_turns(1);
    for text in ["One", "Two", "Three"] {
        stage.post(session, text).await;
    }
    assert_eq!(stage.settled().await, Verdict { answered: 2, engine_error: 1, ..Verdict::default() });
    let sampler = UsageSampler::new(stage.house.pool.clone());
    sampler.sample().await.unwrap();
    let text = handle.render();
    for line in [
        "parlant_engine_turns_total{outcome=\"answered\"} 2",
        "parlant_engine_turns_total{outcome=\"engine_error\"} 1",
        "parlant_engine_turn_duration_seconds_count 3",
        "parlant_engine_outbox_pending 0",
        "parlant_engine_outbox_oldest_seconds 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[tokio::test]
async fn no_more_turns_than_allowed_are_under_way_and_no_session_waits_for_another_s_rest() {
    let mut stage = stage(DeliveryConfig { max_turns: 2, ..QUICK }).await;
    stage.echo.pause(Duration::from_millis(200));
    let long = stage.session().await;
    for number in 0..6 {
        stage.post(long, &number.to_string()).await;
    }
    let (second, third) = (stage.session().await, stage.session().await);
    stage.post(second, "Hi").await;
    stage.post(third, "Hi").await;
    let _running = stage.run();
    stage.until("four are answered", "select count(*) >= 4 from parlant_outbox where state = 'answered'").await;
    let sessions = "select count(distinct session_id) from parlant_outbox where state = 'answered'";
    assert_eq!(stage.house.count(sessions).await, 3);
    assert_eq!(stage.settled().await, Verdict { answered: 8, ..Verdict::default() });
    // Leases were taken by two at a time: what waited was not touched.
    assert_eq!(stage.house.count("select max(attempts)::bigint from parlant_outbox").await, 1);
}

#[tokio::test]
async fn without_a_delivery_messages_are_kept_until_there_is_one() {
    let mut stage = stage(QUICK).await;
    let session = stage.session().await;
    stage.post(session, "Hello").await;
    assert_eq!(stage.verdict().await, Verdict::default());
    // Posted by a replica that delivers nothing itself.
    let engine = Engine::new(&stage.echo.config()).unwrap();
    let (elsewhere, _idle) = Conversations::new(stage.house.pool.clone(), Limits::default()).with_engine(engine, QUICK);
    elsewhere.post_message(&ada(), session, says("Still there?")).await.unwrap();
    let _running = stage.run();
    assert_eq!(stage.settled().await, Verdict { answered: 2, ..Verdict::default() });
    let said = stage.said(session).await;
    assert_eq!(said[2..], [format!("agent: {PREFIX}Hello"), format!("agent: {PREFIX}Still there?")]);
}
