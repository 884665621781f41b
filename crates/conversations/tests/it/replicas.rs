//! Several replicas on one database, of which some die, stall or lose it: no message is lost, none answered twice.

use std::time::{Duration, Instant};

use parlant_conversations::DeliveryConfig;
use parlant_test_support::ChaosProxy;

use crate::house::config;
use crate::stage::{QUICK, Verdict, ada, stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_s_turns_go_on_elsewhere_when_its_leases_have_run_out() {
    let mut stage = stage(QUICK).await;
    stage.echo.pause(Duration::from_millis(1500));
    let doomed = stage.run();
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let session = stage.session().await;
        stage.post(session, "One").await;
        stage.post(session, "Two").await;
        sessions.push(session);
    }
    while stage.echo.posted().len() < 8 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(doomed);
    stage.echo.pause(Duration::ZERO);
    let _heir = stage.replica(QUICK, &config(stage.database().url()));
    assert_eq!(stage.settled().await, Verdict { answered: 16, ..Verdict::default() });
    assert_eq!(stage.echo.posted().len(), 16, "nothing was said twice");
}

/// From the claim to the stored answer it takes some ten milliseconds: each moment of them is somebody's last.
#[tokio::test(flavor = "multi_thread")]
async fn whenever_a_replica_is_killed_the_next_goes_on_from_there() {
    let stage = stage(QUICK).await;
    let brief = DeliveryConfig { lease: Duration::from_millis(100), ..QUICK };
    let session = stage.session().await;
    for round in 0..60 {
        if round % 10 == 0 {
            stage.echo.forget();
        }
        stage.post(session, &format!("Round {round}")).await;
        let doomed = stage.replica(brief, &config(stage.database().url()));
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..60_000))).await;
        drop(doomed);
        stage.verdict().await;
    }
    let _heir = stage.replica(QUICK, &config(stage.database().url()));
    assert_eq!(stage.settled().await, Verdict { answered: 60, ..Verdict::default() });
}

#[tokio::test]
async fn a_turn_that_somebody_else_has_taken_is_left_alone() {
    let mut stage = stage(QUICK).await;
    stage.echo.pause(Duration::from_millis(300));
    let _running = stage.run();
    let session = stage.session().await;
    stage.post(session, "Hello").await;
    let delivered = "select exists (select from parlant_outbox where delivered_at is not null)";
    stage.until("delivered", delivered).await;
    let client = stage.database().superuser().await;
    let taken = "update parlant_outbox set lease = gen_random_uuid(), due_at = now() + interval '1 h'";
    client.batch_execute(taken).await.unwrap();
    // The answer is there by then, and whoever was to store it has tried to.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(stage.said(session).await, ["user: Hello"]);
    assert_eq!(stage.verdict().await, Verdict::default());

    client.batch_execute("update parlant_outbox set due_at = now()").await.unwrap();
    assert_eq!(stage.settled().await, Verdict { answered: 1, ..Verdict::default() });
    assert_eq!(stage.echo.posted().len(), 1);
}

#[tokio::test]
async fn an_answer_that_nobody_was_there_to_hear_is_found_however_late() {
    let brief = DeliveryConfig { turn_timeout: Duration::from_secs(1), lease: Duration::from_millis(300), ..QUICK };
    let mut stage = stage(brief).await;
    stage.echo.pause(Duration::from_millis(300));
    let doomed = stage.run();
    let session = stage.session().await;
    stage.post(session, "Hello").await;
    stage.until("delivered", "select exists (select from parlant_outbox where delivered_at is not null)").await;
    drop(doomed);
    let late = "select delivered_at < clock_timestamp() - interval '1.5 s' from parlant_outbox";
    stage.until("it is late", late).await;
    let _heir = stage.replica(brief, &config(stage.database().url()));
    assert_eq!(stage.settled().await, Verdict { answered: 1, ..Verdict::default() });
    assert_eq!(stage.echo.posted().len(), 1);
}

#[tokio::test]
async fn a_replica_that_ends_hands_its_turns_over_at_once() {
    let long = DeliveryConfig { lease: Duration::from_mins(10), ..QUICK };
    let mut stage = stage(long).await;
    stage.echo.pause(Duration::from_millis(700));
    let ending = stage.run();
    let session = stage.session().await;
    stage.post(session, "Hello").await;
    while stage.echo.posted().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ending.stop().await;
    stage.verdict().await;
    let start = Instant::now();
    let _heir = stage.replica(long, &config(stage.database().url()));
    assert_eq!(stage.settled().await, Verdict { answered: 1, ..Verdict::default() });
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(stage.echo.posted().len(), 1);
}

/// The database hears nothing of one replica until another has answered, and then what that one wanted to write.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stalls_writes_nothing_once_its_lease_is_lost() {
    let stage = stage(QUICK).await;
    let proxy = ChaosProxy::start(stage.database().address()).await;
    let through = || config(stage.database().url_through(proxy.address()));
    for round in 1..=3 {
        let stalling = stage.replica(QUICK, &through());
        stage.echo.pause(Duration::from_millis(200));
        let session = stage.session().await;
        stage.post(session, "Hello").await;
        let delivered = "select exists (select from parlant_outbox where state = 'open' and delivered_at is not null)";
        stage.until("delivered", delivered).await;
        proxy.hang();
        stage.echo.pause(Duration::ZERO);
        let heir = stage.replica(QUICK, &config(stage.database().url()));
        assert_eq!(stage.settled().await, Verdict { answered: round, ..Verdict::default() });
        drop(heir);
        proxy.restore().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(stage.verdict().await, Verdict { answered: round, ..Verdict::default() });
        drop(stalling);
    }
    assert_eq!(stage.echo.posted().len(), 3);
}

/// A whole replica that does not run for a while, as under SIGSTOP, with its turns at every possible place.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stands_still_for_longer_than_its_lease_does_no_harm() {
    let stage = stage(QUICK).await;
    let frozen = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let brief = DeliveryConfig { lease: Duration::from_millis(300), ..QUICK };
    let guard = frozen.enter();
    let stalling = stage.replica(brief, &config(stage.database().url()));
    drop(guard);
    let heir = stage.replica(brief, &config(stage.database().url()));
    stage.echo.pause(Duration::from_millis(30));
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(stage.session().await);
    }
    for round in 0..8 {
        for session in &sessions {
            stage.post(*session, &format!("Round {round}")).await;
        }
        #[expect(clippy::disallowed_methods, reason = "to block the worker is what it is for")]
        frozen.spawn(async { std::thread::sleep(Duration::from_millis(700)) }).await.unwrap();
    }
    stage.settled().await;
    let verdict = stage.settled().await;
    assert_eq!(verdict.answered + verdict.cancelled, 80, "{verdict:?}");
    drop((stalling, heir));
    frozen.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_costs_no_message() {
    let stage = stage(QUICK).await;
    let proxy = ChaosProxy::start(stage.database().address()).await;
    let mut through = config(stage.database().url_through(proxy.address()));
    through.pool_timeout = Duration::from_secs(1);
    through.connection_timeout = Duration::from_secs(1);
    let _running = stage.replica(QUICK, &through);
    stage.echo.pause(Duration::from_millis(50));
    let sessions = [stage.session().await, stage.session().await, stage.session().await];
    for round in 0..6 {
        for session in sessions {
            stage.post(session, &format!("Round {round}")).await;
        }
        tokio::time::sleep(Duration::from_millis(20 * round)).await;
        proxy.refuse().await;
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.restore().await;
    }
    assert_eq!(stage.settled().await, Verdict { answered: 18, ..Verdict::default() });
    assert_eq!(stage.echo.posted().len(), 18);
    stage.house.conversations.end_session(&ada(), sessions[0]).await.unwrap();
}
