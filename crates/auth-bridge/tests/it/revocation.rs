//! What is revoked stays out, over a source in memory.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use parlant_auth_bridge::{AuthBridge, Config};

use crate::memory::{Memory, becomes, bridge, in_an_hour, present};

/// Revalidates so often that a test need not wait.
fn quick() -> Config {
    Config { revalidate_interval: Duration::from_millis(20), negative_ttl: Duration::ZERO, ..Config::default() }
}

/// Nothing but the caller revokes.
fn never() -> Config {
    Config { revalidate_interval: Duration::ZERO, ..Config::default() }
}

#[tokio::test]
async fn what_a_caller_revokes_is_asked_for_again() {
    let (bridge, memory) = bridge(&never(), Memory::rechecking());
    for token in ["ada", "bob"] {
        memory.sign_in(token, in_an_hour());
        assert_eq!(present(&bridge, token).await, "valid");
    }
    memory.sign_out("ada");
    assert_eq!(present(&bridge, "ada").await, "valid", "nobody knows yet");
    bridge.revoke("session of ada");
    assert_eq!(present(&bridge, "ada").await, "unknown_session");

    bridge.revoke_user("bob");
    assert_eq!(present(&bridge, "bob").await, "valid");
    assert_eq!(memory.calls(), 4);
}

/// A look-up that read the session before it ended, and says so afterwards.
async fn overtaken(revoke: impl FnOnce(&AuthBridge)) -> (&'static str, usize) {
    let (bridge, memory) = bridge(&never(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    let held = memory.hold().await;
    let end = async {
        while memory.calls() < 1 {
            tokio::task::yield_now().await;
        }
        memory.sign_out("ada");
        revoke(&bridge);
        drop(held);
    };
    let (verdict, ()) = tokio::join!(present(&bridge, "ada"), end);
    assert_ne!(present(&bridge, "ada").await, if verdict == "valid" { "" } else { "valid" });
    (verdict, memory.calls())
}

#[tokio::test]
async fn a_look_up_that_began_before_a_revocation_cannot_put_the_session_back() {
    assert_eq!(overtaken(|bridge| bridge.revoke("session of ada")).await, ("unknown_session", 2));
    assert_eq!(overtaken(|bridge| bridge.revoke_user("ada")).await, ("unknown_session", 2));
    assert_eq!(overtaken(|bridge| bridge.revoke("session of bob")).await.0, "valid", "another's");
}

#[tokio::test]
async fn nor_one_that_revalidation_overtook() {
    let (bridge, memory) = bridge(&quick(), Memory::rechecking());
    // Somebody who stays keeps the rounds going.
    for token in ["ada", "bob"] {
        memory.sign_in(token, in_an_hour());
        assert_eq!(present(&bridge, token).await, "valid");
    }
    // Revalidation stands still, so that what is held is no longer believed and a request looks it up.
    let held = memory.hold().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = memory.rounds.load(Ordering::SeqCst);
    let end = async {
        while memory.calls() < 3 {
            tokio::task::yield_now().await;
        }
        memory.sign_out("ada");
        drop(held);
        while memory.rounds.load(Ordering::SeqCst) < before + 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(present(&bridge, "ada"), end);
    becomes(&bridge, "ada", "unknown_session").await;
    for _ in 0..100 {
        assert_eq!(present(&bridge, "ada").await, "unknown_session");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn revalidation_is_one_question_about_all_and_keeps_them_believed() {
    const PEOPLE: usize = 100;
    let config = Config { revalidate_interval: Duration::from_millis(300), ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::rechecking());
    let people: Vec<_> = (0..PEOPLE).map(|n| format!("person-{n}")).collect();
    for person in &people {
        memory.sign_in(person, in_an_hour());
    }
    join_all(people.iter().map(|person| present(&bridge, person))).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while memory.asked_together.load(Ordering::SeqCst) < PEOPLE {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (rounds, calls) = (memory.rounds.load(Ordering::SeqCst), memory.calls());
    while memory.rounds.load(Ordering::SeqCst) < rounds + 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        present(&bridge, "person-0").await;
    }
    assert!(memory.calls() <= calls + 2, "revalidated sessions are not looked up");
    drop(bridge);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let rounds = memory.rounds.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(memory.rounds.load(Ordering::SeqCst), rounds, "nobody is left to ask for");
}

#[test]
fn every_revocation_is_counted_by_what_it_was() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let (bridge, memory) = bridge(&quick(), Memory::rechecking());
            for token in ["ada", "bob", "cid", "dan"] {
                memory.sign_in(token, in_an_hour());
                assert_eq!(present(&bridge, token).await, "valid");
            }
            bridge.revoke("session of ada");
            bridge.revoke_user("bob");
            memory.sign_out("cid");
            becomes(&bridge, "cid", "unknown_session").await;
        });
    });
    let rendered = handle.render();
    for series in [
        "parlant_auth_revocations_total{by=\"caller\"} 2",
        "parlant_auth_revocations_total{by=\"session\"} 1",
        "parlant_auth_revocations_total{by=\"access\"} 0",
    ] {
        assert!(rendered.contains(series), "{series} is not in\n{rendered}");
    }
}
