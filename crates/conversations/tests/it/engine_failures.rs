//! An engine that is away, hangs, forgets, fails or stays silent: every message is answered once or failed once.

use std::time::Duration;

use parlant_conversations::{Conversations, DeliveryConfig, Limits};
use parlant_engine::Engine;
use parlant_test_support::ChaosProxy;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::house::admin;
use crate::stage::{QUICK, Running, Stage, Verdict, ada, stage};

const ANSWERED: Verdict = Verdict { answered: 1, engine_error: 0, timeout: 0, cancelled: 0, rejected: 0, gone: 0 };

/// Until somebody has tried so often.
async fn tried(stage: &Stage, attempts: u32) {
    let sql = format!("select coalesce(max(attempts), 0) >= {attempts} from parlant_outbox where state = 'open'");
    stage.until("tried", &sql).await;
}

/// Until the engine has so many messages.
async fn posted(stage: &Stage, count: usize) {
    while stage.echo.posted().len() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_engine_that_refuses_is_asked_again_until_it_answers() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    stage.echo.refuse(true);
    let session = stage.session().await;
    stage.post(session, "Hello").await;
    tried(&stage, 4).await;
    stage.verdict().await;
    stage.echo.refuse(false);
    assert_eq!(stage.settled().await, ANSWERED);
}

#[tokio::test]
async fn an_engine_that_is_away_for_too_long_fails_messages_and_answers_the_next() {
    let mut stage = stage(DeliveryConfig { delivery_timeout: Duration::from_secs(1), ..QUICK }).await;
    let _running = stage.run();
    stage.echo.refuse(true);
    let session = stage.session().await;
    for text in ["One", "Two"] {
        stage.post(session, text).await;
    }
    assert_eq!(stage.settled().await, Verdict { timeout: 2, ..Verdict::default() });
    let messages = stage.messages(session).await;
    let failure = serde_json::to_value(&messages[2]).unwrap();
    assert_eq!(
        (&failure["message_type"], &failure["content"]),
        (&json!("system"), &json!("The agent could not answer this message."))
    );
    assert_eq!(failure["metadata"], json!({ "in_reply_to": messages[0].id, "error": "timeout" }));
    stage.echo.refuse(false);
    stage.post(session, "Three").await;
    assert_eq!(stage.settled().await, Verdict { timeout: 2, answered: 1, ..Verdict::default() });
}

#[tokio::test]
async fn an_engine_that_hangs_costs_no_answer() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    let session = stage.session().await;
    stage.post(session, "Warm up").await;
    stage.settled().await;
    stage.echo.hang(true);
    stage.post(session, "Hello").await;
    tried(&stage, 1).await;
    tokio::time::sleep(QUICK.lease).await;
    stage.echo.hang(false);
    assert_eq!(stage.settled().await, Verdict { answered: 2, ..Verdict::default() });
    assert_eq!(stage.echo.posted().len(), 2);
}

#[tokio::test]
async fn an_engine_that_forgets_everything_during_a_turn_is_asked_again() {
    let mut stage = stage(QUICK).await;
    stage.echo.pause(Duration::from_secs(5));
    let _running = stage.run();
    let session = stage.session().await;
    stage.post(session, "Hello").await;
    posted(&stage, 1).await;
    stage.echo.forget();
    stage.echo.pause(Duration::ZERO);
    assert_eq!(stage.settled().await, ANSWERED);
    assert_eq!(stage.echo.posted().len(), 2, "said again, because the first answer can never come");
}

#[tokio::test]
async fn a_message_whose_delivery_was_not_confirmed_is_found_and_not_said_again() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    let session = stage.session().await;
    for round in 1..=3 {
        stage.echo.lose_answers(1);
        stage.post(session, "Hello").await;
        assert_eq!(stage.settled().await, Verdict { answered: round, ..Verdict::default() });
        assert_eq!(stage.echo.posted().len(), round);
    }
}

#[tokio::test]
async fn a_turn_that_fails_is_told_and_does_not_stop_the_next() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    let session = stage.session().await;
    stage.echo.fail_turns(1);
    for text in ["One", "Two"] {
        stage.post(session, text).await;
    }
    assert_eq!(stage.settled().await, Verdict { answered: 1, engine_error: 1, ..Verdict::default() });
    assert_eq!(
        stage.said(session).await,
        ["user: One", "user: Two", "system: The agent could not answer this message.", "agent: (echo) Two"]
    );
}

#[tokio::test]
async fn silence_ends_by_a_timeout_and_the_next_message_starts_afresh() {
    let mut stage = stage(DeliveryConfig { turn_timeout: Duration::from_secs(1), ..QUICK }).await;
    let _running = stage.run();
    let session = stage.session().await;
    stage.echo.pause(Duration::from_mins(10));
    stage.post(session, "One").await;
    assert_eq!(stage.settled().await, Verdict { timeout: 1, ..Verdict::default() });
    stage.echo.pause(Duration::ZERO);
    stage.post(session, "Two").await;
    assert_eq!(stage.settled().await, Verdict { timeout: 1, answered: 1, ..Verdict::default() });
    assert_eq!(stage.echo.sessions(), 1, "the silent one is closed");
}

#[tokio::test]
async fn an_engine_that_is_lost_during_a_turn_fails_it_once_its_time_is_over() {
    let mut stage = stage(DeliveryConfig { turn_timeout: Duration::from_secs(1), ..QUICK }).await;
    let _running = stage.run();
    let session = stage.session().await;
    stage.echo.pause(Duration::from_mins(10));
    stage.post(session, "One").await;
    stage.until("delivered", "select exists (select from parlant_outbox where delivered_at is not null)").await;
    stage.echo.refuse(true);
    assert_eq!(stage.settled().await, Verdict { timeout: 1, ..Verdict::default() });
}

/// An HTTP server that finds fault with everything.
async fn faultfinder() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                let _ = socket.write_all(answer).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn what_the_engine_will_never_take_fails_at_once() {
    let stage = stage(QUICK).await;
    let engine = Engine::new(&parlant_engine::Config::new(faultfinder().await)).unwrap();
    let conversations = Conversations::new(stage.house.pool.clone(), Limits::default());
    let _running = Running::start(conversations.with_engine(engine, QUICK).1);
    let session = stage.session().await;
    stage.post(session, "Hello").await;
    assert_eq!(stage.settled().await, Verdict { rejected: 1, ..Verdict::default() });
    assert_eq!(stage.house.count("select max(attempts)::bigint from parlant_outbox").await, 1);
}

#[tokio::test]
async fn what_has_ended_is_not_answered_and_leaves_nothing_in_the_engine() {
    let mut stage = stage(QUICK).await;
    let _running = stage.run();
    let (ending, archived) = (stage.session().await, stage.session().await);
    for session in [ending, archived] {
        stage.post(session, "Warm up").await;
    }
    stage.settled().await;
    assert_eq!((stage.echo.sessions(), stage.echo.agents()), (2, 1));

    // In the middle of a turn, and with another that waits for it.
    stage.echo.pause(Duration::from_mins(10));
    for session in [ending, ending, archived] {
        stage.post(session, "Hello").await;
    }
    posted(&stage, 4).await;
    let conversations = &stage.house.conversations;
    conversations.end_session(&ada(), ending).await.unwrap();
    stage.until("two are gone", "select count(*) = 2 from parlant_outbox where reason = 'gone'").await;
    while stage.echo.sessions() > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    conversations.archive_agent(&admin("eve", "w"), stage.agent.id).await.unwrap();
    assert_eq!(stage.settled().await, Verdict { answered: 2, gone: 3, ..Verdict::default() });
    while stage.echo.agents() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stage.echo.sessions(), 0);
    let forgotten = "select not in_engine from parlant_agent";
    stage.until("that is known", forgotten).await;
}

#[tokio::test]
async fn what_ended_before_its_turn_never_reaches_the_engine() {
    let mut stage = stage(QUICK).await;
    let session = stage.session().await;
    for text in ["One", "Two"] {
        stage.post(session, text).await;
    }
    stage.house.conversations.end_session(&ada(), session).await.unwrap();
    let _running = stage.run();
    assert_eq!(stage.settled().await, Verdict { gone: 2, ..Verdict::default() });
    assert_eq!((stage.echo.posted().len(), stage.echo.agents()), (0, 0));
}

/// The network to the engine is cut again and again while messages pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_breaks_costs_no_message() {
    let stage = stage(QUICK).await;
    let address = stage.echo.config().base_url.trim_start_matches("http://").parse().unwrap();
    let proxy = ChaosProxy::start(address).await;
    let engine = Engine::new(&parlant_engine::Config::new(format!("http://{}", proxy.address()))).unwrap();
    let conversations = Conversations::new(stage.house.pool.clone(), Limits::default());
    let _running = Running::start(conversations.with_engine(engine, QUICK).1);
    stage.echo.pause(Duration::from_millis(20));
    let sessions = [stage.session().await, stage.session().await, stage.session().await];
    for round in 0..20 {
        for session in sessions {
            stage.post(session, &format!("Round {round}")).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        proxy.cut();
    }
    assert_eq!(stage.settled().await, Verdict { answered: 60, ..Verdict::default() });
    assert_eq!(stage.echo.posted().len(), 60);
}
