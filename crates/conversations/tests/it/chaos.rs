//! Everything at once, by chance: replicas that are killed, an engine that forgets, refuses, hangs, fails and loses
//! answers, a database that comes and goes. What the tables say at the end is judged as always.

use std::time::Duration;

use parlant_conversations::DeliveryConfig;
use parlant_test_support::ChaosProxy;

use crate::house::config;
use crate::stage::{QUICK, Verdict, stage};

const SESSIONS: usize = 20;
const MESSAGES: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_every_message_is_answered_or_failed_once() {
    let stage = stage(QUICK).await;
    let proxy = ChaosProxy::start(stage.database().address()).await;
    let delivery = DeliveryConfig { lease: Duration::from_millis(600), ..QUICK };
    let replica = || {
        let mut through = config(stage.database().url_through(proxy.address()));
        through.pool_timeout = Duration::from_secs(1);
        through.connection_timeout = Duration::from_secs(1);
        stage.replica(delivery, &through)
    };
    let mut replicas = [replica(), replica()];
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(stage.session().await);
    }

    // How often a delivered message was to fail.
    let mut failures = 0;
    for number in 0..MESSAGES {
        let session = sessions[rand::random_range(0..SESSIONS)];
        stage.post(session, &format!("Message {number}")).await;
        match rand::random_range(0..60) {
            0..4 => replicas[rand::random_range(0..2)] = replica(),
            4..6 => {
                let index = rand::random_range(0..2);
                std::mem::replace(&mut replicas[index], replica()).stop().await;
            }
            6..8 => stage.echo.forget(),
            8..10 => stage.echo.lose_answers(2),
            10..12 => {
                stage.echo.fail_turns(1);
                failures += 1;
            }
            12 => {
                stage.echo.refuse(true);
                pause(200).await;
                stage.echo.refuse(false);
            }
            13 => {
                stage.echo.hang(true);
                pause(200).await;
                stage.echo.hang(false);
            }
            14..17 => proxy.cut(),
            17 => {
                proxy.hang();
                pause(1000).await;
                proxy.restore().await;
            }
            18 => {
                proxy.refuse().await;
                proxy.cut();
                pause(300).await;
                proxy.restore().await;
            }
            19..22 => stage.echo.pause(Duration::from_millis(rand::random_range(0..100))),
            _ => pause(10).await,
        }
    }
    let verdict = stage.settled().await;
    let Verdict { answered, engine_error, timeout, cancelled, rejected, gone } = verdict;
    assert_eq!(answered + engine_error + timeout + cancelled, MESSAGES, "{verdict:?}");
    assert_eq!((rejected, gone), (0, 0));
    assert!(engine_error <= failures, "{verdict:?}: {failures} were to fail");
    // What was failed for the noise around it, and not because it was to fail, is the exception.
    assert!(timeout + cancelled <= MESSAGES / 20, "{verdict:?}");
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
