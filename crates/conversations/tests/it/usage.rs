//! What is in use, as the metrics tell it.

use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parlant_conversations::{Usage, UsageSampler};
use parlant_db_pool::Pool;
use parlant_test_support::ChaosProxy;

use crate::house::{admin, config, house, new_agent, new_session};

#[tokio::test]
async fn what_has_ended_or_is_archived_does_not_count() {
    let house = house().await;
    let sampler = UsageSampler::new(house.pool.clone());
    assert_eq!(sampler.sample().await.unwrap(), Usage::default());

    let ada = admin("ada", "w1");
    let agent = house.conversations.create_agent(&ada, new_agent("w1", "One")).await.unwrap();
    let elsewhere = admin("bob", "w2");
    let other = house.conversations.create_agent(&elsewhere, new_agent("w2", "Two")).await.unwrap();
    let session = house.conversations.start_session(&ada, new_session(&agent)).await.unwrap();
    house.conversations.start_session(&elsewhere, new_session(&other)).await.unwrap();
    assert_eq!(sampler.sample().await.unwrap(), Usage { sessions: 2, agents: 2, ..Usage::default() });

    house.conversations.end_session(&ada, session.id).await.unwrap();
    assert_eq!(sampler.sample().await.unwrap(), Usage { sessions: 1, agents: 2, ..Usage::default() });
    house.conversations.archive_agent(&elsewhere, other.id).await.unwrap();
    assert_eq!(sampler.sample().await.unwrap(), Usage { sessions: 0, agents: 1, ..Usage::default() });
}

fn exported(handle: &PrometheusHandle, name: &str) -> Option<f64> {
    let text = handle.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// On one thread, so that this thread's recorder sees everything.
#[tokio::test(flavor = "current_thread")]
async fn an_outage_leaves_the_last_numbers_and_their_age() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let house = house().await;
    let proxy = ChaosProxy::start(house.database.address()).await;
    let mut config = config(house.database.url_through(proxy.address()));
    config.pool_timeout = Duration::from_millis(100);
    config.connection_timeout = Duration::from_millis(100);
    let pool = Pool::new(&config).unwrap();
    let ada = admin("ada", "w1");
    house.conversations.create_agent(&ada, new_agent("w1", "One")).await.unwrap();

    let sampler = UsageSampler::new(pool);
    let (agents, at) = ("parlant_agents", "parlant_usage_sample_timestamp_seconds");
    assert_eq!(exported(&handle, agents), None, "nobody knows yet");
    let sampling = tokio::spawn(sampler.run(Duration::from_millis(10)));
    until("counted", || exported(&handle, agents) == Some(1.0)).await;
    assert_eq!(exported(&handle, "parlant_active_sessions"), Some(0.0));

    proxy.refuse().await;
    proxy.cut();
    house.conversations.create_agent(&ada, new_agent("w1", "Two")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let last = exported(&handle, at).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(exported(&handle, agents), Some(1.0));
    assert_eq!(exported(&handle, at), Some(last), "the sample grows old");
    assert!((chrono::Utc::now().timestamp() as f64 - last) < 60.0);

    proxy.restore().await;
    until("counted again", || exported(&handle, agents) == Some(2.0)).await;
    assert!(exported(&handle, at) > Some(last));
    sampling.abort();
}

#[tokio::test(flavor = "current_thread")]
async fn a_count_that_had_to_wait_for_a_connection_is_followed_by_the_next_as_soon_as_any() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let house = house().await;
    let mut config = config(house.database.url());
    (config.pool_size, config.max_overflow) = (1, 0);
    let pool = Pool::new(&config).unwrap();

    let busy = pool.get().await.unwrap();
    let sampling = tokio::spawn(UsageSampler::new(pool).run(Duration::from_millis(10)));
    // Twenty times this is more than `until` waits.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    drop(busy);
    until("counted", || exported(&handle, "parlant_agents") == Some(0.0)).await;
    house.conversations.create_agent(&admin("ada", "w1"), new_agent("w1", "One")).await.unwrap();
    until("counted again", || exported(&handle, "parlant_agents") == Some(1.0)).await;
    sampling.abort();
}
