//! A source that cannot be asked: who is still admitted, for how long, and how fast that is said.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use parlant_auth_bridge::Config;

use crate::memory::{Memory, becomes, bridge, in_an_hour, present};

/// Believes for a moment and serves a second longer.
fn brief() -> Config {
    Config {
        cache_ttl: Duration::from_millis(50),
        stale_if_error: Duration::from_secs(1),
        revalidate_interval: Duration::from_millis(25),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_valid_session_is_served_for_a_bounded_time_and_others_are_unknown() {
    for source in [Memory::new, Memory::rechecking] {
        let (bridge, memory) = bridge(&brief(), source());
        memory.sign_in("ada", in_an_hour());
        memory.sign_in("bob", in_an_hour());
        assert_eq!(present(&bridge, "ada").await, "valid");
        memory.is_down(true);
        let start = Instant::now();
        tokio::time::sleep(Duration::from_millis(200)).await;
        while start.elapsed() < Duration::from_millis(700) {
            assert_eq!(present(&bridge, "ada").await, "valid");
            assert_eq!(present(&bridge, "bob").await, "unknown");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        becomes(&bridge, "ada", "unknown").await;
        let served = start.elapsed();
        assert!(served < Duration::from_millis(1400), "{served:?}");
        memory.is_down(false);
        let back = Instant::now();
        becomes(&bridge, "ada", "valid").await;
        assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    }
}

#[tokio::test]
async fn without_stale_nobody_is_served() {
    let (bridge, memory) = bridge(&Config { stale_if_error: Duration::ZERO, ..brief() }, Memory::new());
    memory.sign_in("ada", in_an_hour());
    assert_eq!(present(&bridge, "ada").await, "valid");
    memory.is_down(true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(present(&bridge, "ada").await, "unknown");
}

#[tokio::test]
async fn nothing_is_served_after_a_revocation_or_its_own_end() {
    let (bridge, memory) = bridge(&brief(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    memory.sign_in("bob", Utc::now() + TimeDelta::milliseconds(400));
    for token in ["ada", "bob"] {
        assert_eq!(present(&bridge, token).await, "valid");
    }
    memory.is_down(true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(present(&bridge, "bob").await, "valid");
    bridge.revoke("session of ada");
    assert_eq!(present(&bridge, "ada").await, "unknown");
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(present(&bridge, "bob").await, "unknown");
}

#[tokio::test]
async fn a_session_revoked_while_its_look_up_hangs_is_not_served() {
    let (bridge, memory) = bridge(&brief(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    assert_eq!(present(&bridge, "ada").await, "valid");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let _held = memory.hold().await;
    let revoke = async {
        while memory.calls() < 2 {
            tokio::task::yield_now().await;
        }
        bridge.revoke_user("ada");
    };
    let (verdict, ()) = tokio::join!(present(&bridge, "ada"), revoke);
    assert_eq!(verdict, "unknown");
}

#[tokio::test]
async fn a_source_that_hangs_delays_nobody_who_is_known() {
    let (bridge, memory) = bridge(&Config { stale_if_error: Duration::from_mins(1), ..brief() }, Memory::rechecking());
    memory.sign_in("ada", in_an_hour());
    assert_eq!(present(&bridge, "ada").await, "valid");
    let held = memory.hold().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut slow = 0;
    for _ in 0..200 {
        let start = Instant::now();
        assert_eq!(present(&bridge, "ada").await, "valid");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        slow += usize::from(took > Duration::from_millis(200));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(slow < 10, "{slow} of 200 waited: three find out, and then one in each pause");
    let start = Instant::now();
    let crowd = join_all((0..1000).map(|_| present(&bridge, "ada"))).await;
    assert!(crowd.iter().all(|verdict| *verdict == "valid") && start.elapsed() < Duration::from_secs(2));
    drop(held);
}

#[tokio::test]
async fn a_slow_answer_comes_into_the_cache_although_nobody_waited_for_it() {
    let config = Config { cache_ttl: Duration::from_secs(1), ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    memory.sign_in("ada", in_an_hour());
    assert_eq!(present(&bridge, "ada").await, "valid");
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let held = memory.hold().await;
    let start = Instant::now();
    assert_eq!(present(&bridge, "ada").await, "valid");
    assert!(start.elapsed() >= Duration::from_millis(200), "the first waits a little");
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(present(&bridge, "ada").await, "valid");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}: the others do not", start.elapsed());
    drop(held);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(present(&bridge, "ada").await, "valid");
    assert_eq!(memory.calls(), 2);
}

#[tokio::test]
async fn a_dead_source_is_asked_rarely() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    memory.is_down(true);
    let start = Instant::now();
    let mut asked = 0;
    while start.elapsed() < Duration::from_secs(2) {
        assert_eq!(present(&bridge, &format!("person-{asked}")).await, "unknown");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Three that fail, and then one in 300 to 800 ms.
    assert!(asked > 100 && (4..=10).contains(&memory.calls()), "{} of {asked}", memory.calls());
    memory.is_down(false);
    memory.sign_in("ada", in_an_hour());
    let back = Instant::now();
    becomes(&bridge, "ada", "valid").await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
}

#[test]
fn stale_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let (bridge, memory) = bridge(&brief(), Memory::new());
            memory.sign_in("ada", in_an_hour());
            assert_eq!(present(&bridge, "ada").await, "valid");
            memory.is_down(true);
            tokio::time::sleep(Duration::from_millis(100)).await;
            for _ in 0..5 {
                assert_eq!(present(&bridge, "ada").await, "valid");
            }
        });
    });
    let rendered = handle.render();
    for series in [
        "parlant_auth_cache_hits_total{result=\"stale\"} 5",
        "parlant_auth_cache_hits_total{result=\"miss\"} 6",
        "parlant_auth_validations_total{source=\"memory\",outcome=\"valid\"} 6",
    ] {
        assert!(rendered.contains(series), "{series} is not in\n{rendered}");
    }
}
