//! Verdicts and the cache, over a source in memory.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use parlant_auth_bridge::{Config, ConfigError, Credential, Verdict};
use parlant_test_support::{signed, signed_cookie};
use secrecy::SecretString;

use crate::memory::{Memory, SECRET, becomes, bridge, in_an_hour, present, word};

fn with_secret() -> Config {
    Config { better_auth_secret: Some(SecretString::from(SECRET)), ..Config::default() }
}

#[tokio::test]
async fn a_session_is_asked_for_once() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    for _ in 0..3 {
        let verdict = bridge.authenticate(&Credential::from_bearer("ada")).await;
        let Verdict::Valid(identity) = verdict else { panic!("{verdict:?}") };
        assert_eq!(identity.user.id, "ada");
    }
    assert_eq!(memory.calls(), 1);
}

#[tokio::test]
async fn ten_thousand_at_once_are_one_question() {
    const CROWD: usize = 10_000;
    for down in [false, true] {
        let (bridge, memory) = bridge(&Config::default(), Memory::new());
        memory.sign_in("ada", in_an_hour());
        memory.is_down(down);
        let held = memory.hold().await;
        let release = async {
            while bridge.statistics().misses < CROWD as u64 {
                tokio::task::yield_now().await;
            }
            drop(held);
        };
        let everybody = join_all((0..CROWD).map(|_| present(&bridge, "ada")));
        let (verdicts, ()) = tokio::join!(everybody, release);
        let expected = if down { "unknown" } else { "valid" };
        assert!(verdicts.iter().all(|verdict| *verdict == expected));
        assert_eq!(memory.calls(), 1, "an outage is shared too");
    }
}

#[tokio::test]
async fn who_hangs_up_does_not_take_the_answer_from_the_others() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    let held = memory.hold().await;
    let first = tokio::spawn({
        let bridge = bridge.clone();
        async move { present(&bridge, "ada").await }
    });
    while memory.calls() < 1 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn({
        let bridge = bridge.clone();
        async move { present(&bridge, "ada").await }
    });
    while bridge.statistics().misses < 2 {
        tokio::task::yield_now().await;
    }
    first.abort();
    drop(held);
    assert_eq!(second.await.unwrap(), "valid");
}

#[tokio::test]
async fn an_outage_is_not_remembered() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    memory.down.store(true, Ordering::SeqCst);
    assert_eq!(present(&bridge, "ada").await, "unknown");
    assert_eq!(present(&bridge, "ada").await, "unknown");
    memory.down.store(false, Ordering::SeqCst);
    assert_eq!(present(&bridge, "ada").await, "valid");
    assert_eq!(memory.calls(), 3);
}

#[tokio::test]
async fn a_refusal_is_remembered_briefly() {
    let config = Config { negative_ttl: Duration::from_millis(500), ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    assert_eq!(present(&bridge, "ada").await, "unknown_session");
    assert_eq!(present(&bridge, "ada").await, "unknown_session");
    assert_eq!(memory.calls(), 1);
    memory.sign_in("ada", in_an_hour());
    becomes(&bridge, "ada", "valid").await;
    assert_eq!(memory.calls(), 2);
}

/// How many garbage tokens are presented: `AUTH_TEST_GARBAGE`. A million take about ten seconds.
#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
fn garbage() -> usize {
    std::env::var("AUTH_TEST_GARBAGE").map_or(100_000, |count| count.parse().unwrap())
}

fn resident_mib() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4 / 1024
}

/// Whether this process runs nothing else, whose memory would be counted.
#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
fn is_alone() -> bool {
    std::env::var_os("AUTH_TEST_ALONE").is_some()
}

#[tokio::test]
async fn garbage_pushes_out_no_valid_session() {
    if !is_alone() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "bridge::garbage_pushes_out_no_valid_session"]).env("AUTH_TEST_ALONE", "1");
        let output = alone.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let config = Config { cache_max_size: 100, ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    let people: Vec<_> = (0..100).map(|n| format!("person-{n}")).collect();
    for person in &people {
        memory.sign_in(person, in_an_hour());
        assert_eq!(present(&bridge, person).await, "valid");
    }
    let resident = resident_mib();
    for n in 0..garbage() / 2 {
        assert_eq!(present(&bridge, &format!("garbage-{n}")).await, "unknown_session");
        assert_eq!(present(&bridge, &format!("{n} garbage")).await, "malformed");
    }
    let grown = resident_mib().saturating_sub(resident);
    assert!(grown < 20, "{grown} MiB");
    let before = memory.calls();
    for person in &people {
        assert_eq!(present(&bridge, person).await, "valid");
    }
    assert_eq!(memory.calls(), before);
}

#[tokio::test]
async fn the_cache_keeps_to_its_bound() {
    let config = Config { cache_max_size: 10, ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    for n in 0..1000 {
        let person = format!("person-{n}");
        memory.sign_in(&person, in_an_hour());
        assert_eq!(present(&bridge, &person).await, "valid");
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while bridge.statistics().total_cached_sessions > 10 {
        assert!(Instant::now() < deadline, "{:?}", bridge.statistics());
        present(&bridge, "person-0").await;
    }
}

#[tokio::test]
async fn a_session_is_not_served_after_its_end() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    let end = Utc::now() + TimeDelta::milliseconds(300);
    memory.sign_in("ada", end);
    assert_eq!(present(&bridge, "ada").await, "valid");
    becomes(&bridge, "ada", "expired").await;
    assert!(Utc::now() >= end);
}

#[tokio::test]
async fn a_source_that_forgets_to_look_at_the_end_does_no_harm() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    memory.sign_in("ada", Utc::now());
    assert_eq!(present(&bridge, "ada").await, "expired");
}

#[tokio::test]
async fn a_session_is_asked_for_again_after_the_ttl() {
    let config = Config { cache_ttl: Duration::from_millis(50), ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    memory.sign_in("ada", in_an_hour());
    let deadline = Instant::now() + Duration::from_secs(10);
    while memory.calls() < 3 {
        assert_eq!(present(&bridge, "ada").await, "valid");
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test]
async fn without_caching_every_request_is_a_question() {
    let config = Config { caching: false, ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    memory.sign_in("ada", in_an_hour());
    for _ in 0..3 {
        assert_eq!(present(&bridge, "ada").await, "valid");
        assert_eq!(present(&bridge, "eve").await, "unknown_session");
    }
    assert_eq!(memory.calls(), 6);
    assert_eq!(bridge.statistics().max_size, 0);
}

#[tokio::test]
async fn statistics_count_look_ups_and_sessions() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    let fresh = bridge.statistics();
    assert_eq!((fresh.hits, fresh.misses, fresh.max_size, fresh.ttl_seconds), (0, 0, 1000, 300));
    assert!(fresh.hit_ratio.abs() < f64::EPSILON);
    memory.sign_in("ada", in_an_hour());
    for token in ["ada", "ada", "ada", "eve", "eve"] {
        present(&bridge, token).await;
    }
    let used = bridge.statistics();
    assert_eq!((used.hits, used.misses), (3, 2));
    assert!((used.hit_ratio - 0.6).abs() < f64::EPSILON);
    assert_eq!((used.total_cached_sessions, used.active_sessions, used.expired_sessions), (1, 1, 0));
}

#[tokio::test]
async fn a_forged_signature_costs_the_source_nothing() {
    let (bridge, memory) = bridge(&with_secret(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    let forged = signed("ada", "another-secret-0123456789abcdef0123");
    assert_eq!(present(&bridge, &forged).await, "bad_signature");
    assert_eq!(memory.calls(), 0);
    assert_eq!(present(&bridge, &signed("ada", SECRET)).await, "valid");
    assert_eq!(present(&bridge, &signed_cookie("ada", SECRET)).await, "valid");
    assert_eq!(present(&bridge, &forged).await, "bad_signature");
}

#[tokio::test]
async fn without_the_secret_a_signed_token_is_as_good_as_its_raw_one() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    for n in 0..50 {
        let odd = signed("ada", &format!("any-secret-{n}"));
        assert_eq!(present(&bridge, &odd).await, "valid");
    }
    assert_eq!(memory.calls(), 1, "one token is one entry, whatever signatures are put to it");
}

#[tokio::test]
async fn where_the_source_reads_signatures_each_is_judged_on_its_own() {
    let (bridge, memory) = bridge(&Config::default(), Memory::reading_signatures());
    memory.sign_in("ada", in_an_hour());
    present(&bridge, &signed("ada", SECRET)).await;
    present(&bridge, &signed("ada", "another-secret-0123456789abcdef0123")).await;
    assert_eq!(memory.calls(), 2);
}

#[tokio::test]
async fn a_raw_token_is_signed_for_a_source_that_reads_signatures() {
    let (signing, memory) = bridge(&with_secret(), Memory::reading_signatures());
    memory.sign_in("ada", in_an_hour());
    assert_eq!(present(&signing, "ada").await, "valid");
    assert_eq!(*memory.asked.lock().unwrap(), [("ada".to_owned(), Some(signed("ada", SECRET)))]);

    let (keyless, memory) = bridge(&Config::default(), Memory::reading_signatures());
    assert_eq!(present(&keyless, "ada").await, "unsupported");
    assert_eq!(memory.calls(), 0);
}

#[tokio::test]
async fn a_jwt_without_a_verifier_is_unsupported() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    assert_eq!(present(&bridge, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2ln").await, "unsupported");
    assert_eq!(memory.calls(), 0);
}

#[test]
fn a_short_secret_is_an_error_at_the_start() {
    let config = Config { better_auth_secret: Some(SecretString::from("short")), ..Config::default() };
    let error = parlant_auth_bridge::AuthBridge::new(&config, std::sync::Arc::new(Memory::new())).unwrap_err();
    assert!(matches!(error, ConfigError::ShortSecret));
    assert!(!error.to_string().contains("\"short\""));
}

#[test]
fn every_series_is_there_before_anything_happened_and_counts_then() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let (bridge, memory) = metrics::with_local_recorder(&recorder, || bridge(&with_secret(), Memory::new()));
    let rendered = handle.render();
    for series in [
        "parlant_auth_cache_hits_total{result=\"hit\"} 0",
        "parlant_auth_cache_hits_total{result=\"miss\"} 0",
        "parlant_auth_cache_hits_total{result=\"negative\"} 0",
        "parlant_auth_cache_hits_total{result=\"stale\"} 0",
        "parlant_auth_revocations_total{by=\"session\"} 0",
        "parlant_auth_revocations_total{by=\"ban\"} 0",
        "parlant_auth_revocations_total{by=\"access\"} 0",
        "parlant_auth_revocations_total{by=\"caller\"} 0",
        "parlant_auth_validations_total{source=\"memory\",outcome=\"unknown\"} 0",
        "parlant_auth_validations_total{source=\"jwt\",outcome=\"valid\"} 0",
        "parlant_auth_denials_total{reason=\"bad_signature\"} 0",
        "parlant_auth_denials_total{reason=\"unknown_user\"} 0",
        "parlant_auth_cached_sessions 0",
    ] {
        assert!(rendered.contains(series), "{series} is not in\n{rendered}");
    }

    memory.sign_in("ada", in_an_hour());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let forged = signed("ada", "another-secret-0123456789abcdef0123");
        for token in ["ada", "ada", "eve", "eve", &forged, "not a token", "a.b.c"] {
            present(&bridge, token).await;
        }
        memory.down.store(true, Ordering::SeqCst);
        present(&bridge, "bob").await;
    });
    let _ = bridge.statistics();
    let rendered = handle.render();
    for series in [
        "parlant_auth_cache_hits_total{result=\"hit\"} 1",
        "parlant_auth_cache_hits_total{result=\"miss\"} 3",
        "parlant_auth_cache_hits_total{result=\"negative\"} 1",
        "parlant_auth_validations_total{source=\"memory\",outcome=\"valid\"} 2",
        "parlant_auth_validations_total{source=\"memory\",outcome=\"invalid\"} 4",
        "parlant_auth_validations_total{source=\"memory\",outcome=\"unknown\"} 1",
        "parlant_auth_validations_total{source=\"jwt\",outcome=\"invalid\"} 1",
        "parlant_auth_denials_total{reason=\"unknown_session\"} 2",
        "parlant_auth_denials_total{reason=\"bad_signature\"} 1",
        "parlant_auth_denials_total{reason=\"malformed\"} 1",
        "parlant_auth_denials_total{reason=\"unsupported\"} 1",
        "parlant_auth_cached_sessions 1",
    ] {
        assert!(rendered.contains(series), "{series} is not in\n{rendered}");
    }
}

#[tokio::test]
async fn what_is_logged_names_nobody() {
    let (bridge, memory) = bridge(&Config::default(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    let verdict = bridge.authenticate(&Credential::from_bearer("ada")).await;
    let shown = format!("{verdict:?} {bridge:?}");
    assert!(!shown.contains('@') && !shown.contains("Somebody"), "{shown}");
    memory.down.store(true, Ordering::SeqCst);
    let Verdict::Unknown(cause) = bridge.authenticate(&Credential::from_bearer("eve")).await else {
        panic!("the source is down")
    };
    assert_eq!(cause.to_string(), "the memory is gone");
}

#[test]
fn an_identity_is_serialized_as_the_interface_says() {
    let identity = crate::memory::identity("ada", chrono::DateTime::UNIX_EPOCH);
    let expected = serde_json::json!({
        "user": {
            "id": "ada", "email": "ada@example.com", "name": "Somebody", "email_verified": true, "image": null,
        },
        "session": {
            "id": "session of ada", "expires_at": "1970-01-01T00:00:00Z", "active_organization_id": null,
        },
        "workspaces": [{"id": "w1", "name": "One", "role": "write", "permissions": ["read", "write"]}],
    });
    assert_eq!(serde_json::to_value(identity).unwrap(), expected);
}

#[tokio::test]
async fn a_cookie_and_a_bearer_token_of_one_session_are_the_same_person() {
    let (bridge, memory) = bridge(&with_secret(), Memory::new());
    memory.sign_in("ada", in_an_hour());
    for name in ["better-auth.session_token", "__Secure-better-auth.session_token"] {
        let header = format!("{name}={}", signed_cookie("ada", SECRET));
        let credential = Credential::from_cookies([header.as_bytes()]).unwrap();
        assert_eq!(word(&bridge.authenticate(&credential).await), "valid");
    }
    assert_eq!(present(&bridge, "ada").await, "valid");
}
