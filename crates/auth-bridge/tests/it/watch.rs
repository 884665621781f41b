//! A connection that outlives its request is told when its session ends.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use parlant_auth_bridge::{AuthBridge, Config, Credential, Reason, Refusal, SessionWatch};

use crate::memory::{Memory, bridge, in_an_hour};

async fn watch(bridge: &AuthBridge, token: &str) -> SessionWatch {
    bridge.watch(Credential::from_bearer(token)).await.unwrap()
}

/// Why it ended, and how long that took to be noticed.
async fn end(watch: SessionWatch) -> (String, Duration) {
    let start = Instant::now();
    let end = tokio::time::timeout(Duration::from_secs(10), watch.ended()).await.unwrap();
    let end = match end {
        Refusal::Invalid(reason) => reason.to_string(),
        Refusal::Unknown(cause) => cause.to_string(),
    };
    (end, start.elapsed())
}

#[tokio::test]
async fn a_session_that_is_not_valid_cannot_be_watched() {
    let (bridge, _) = bridge(&Config::default(), Memory::new());
    let refusal = bridge.watch(Credential::from_bearer("ada")).await.err();
    assert!(matches!(refusal, Some(Refusal::Invalid(Reason::UnknownSession))));
}

#[tokio::test]
async fn it_ends_with_a_revocation_at_once() {
    let config = Config { revalidate_interval: Duration::ZERO, ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    memory.sign_in("ada", in_an_hour());
    memory.sign_in("bob", in_an_hour());
    let (ada, bob) = (watch(&bridge, "ada").await, watch(&bridge, "bob").await);
    let still = tokio::spawn(bob.ended());
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        memory.sign_out("ada");
        bridge.revoke("session of ada");
    };
    let ((why, took), ()) = tokio::join!(end(ada), revoke);
    assert_eq!(why, "unknown_session");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(!still.is_finished());
}

#[tokio::test]
async fn it_ends_with_what_revalidation_finds() {
    let (bridge, memory) = bridge(&Config::default(), Memory::rechecking());
    memory.sign_in("ada", in_an_hour());
    let watch = watch(&bridge, "ada").await;
    memory.sign_out("ada");
    let (why, took) = end(watch).await;
    assert_eq!(why, "unknown_session");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn it_ends_by_asking_again_where_nobody_tells() {
    let config = Config { cache_ttl: Duration::from_millis(300), ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    memory.sign_in("ada", in_an_hour());
    let watch = watch(&bridge, "ada").await;
    memory.sign_out("ada");
    let (why, took) = end(watch).await;
    assert_eq!(why, "unknown_session");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn it_ends_when_its_time_is_up() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    let until = Utc::now() + TimeDelta::milliseconds(400);
    memory.sign_in("ada", until);
    let (why, _) = end(watch(&bridge, "ada").await).await;
    assert_eq!(why, "expired");
    assert!(Utc::now() >= until && Utc::now() - until < TimeDelta::seconds(1));
}

#[tokio::test]
async fn a_prolonged_session_goes_on() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    memory.sign_in("ada", Utc::now() + TimeDelta::milliseconds(300));
    let mut watch = watch(&bridge, "ada").await;
    memory.sign_in("ada", in_an_hour());
    let identity = tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap().unwrap();
    assert!(identity.session.expires_at > Utc::now() + TimeDelta::minutes(50));
    assert_eq!(watch.identity().session, identity.session);
}

#[tokio::test]
async fn an_outage_ends_it_only_after_the_bound() {
    let config = Config {
        cache_ttl: Duration::from_millis(100),
        stale_if_error: Duration::from_millis(600),
        ..Config::default()
    };
    let (bridge, memory) = bridge(&config, Memory::new());
    memory.sign_in("ada", in_an_hour());
    let watched = watch(&bridge, "ada").await;
    memory.is_down(true);
    let (why, took) = end(watched).await;
    assert!(why.contains("gone") || why.contains("not answered"), "{why}");
    assert!(took > Duration::from_millis(500) && took < Duration::from_secs(3), "{took:?}");
}
