//! Notifications, and what becomes of them when the connection does not last.

use std::time::{Duration, Instant};

use parlant_db_pool::{Config, Error, Heard, Listener, Notifier};
use parlant_test_support::{ChaosProxy, TestDatabase, empty_database};
use tokio::time::timeout;

use crate::postgres::config;

fn listener(config: &Config) -> Listener {
    Listener::new(config, "pool_under_test").unwrap().unwrap()
}

async fn connected(config: &Config) -> (Listener, Notifier) {
    let mut listener = listener(config);
    assert_eq!(hears(&mut listener).await, Heard::Connected);
    let notifier = listener.notifier();
    (listener, notifier)
}

async fn hears(listener: &mut Listener) -> Heard {
    timeout(Duration::from_secs(20), listener.next()).await.unwrap()
}

fn through(database: &TestDatabase, proxy: &ChaosProxy) -> Config {
    config(database.superuser_url().replace(&database.address().to_string(), &proxy.address().to_string()))
}

fn told(payload: &str) -> Heard {
    Heard::Notification(payload.to_owned())
}

#[tokio::test]
async fn notifications_are_heard_by_all_who_listen_in_the_order_in_which_they_were_sent() {
    let database = empty_database().await;
    let config = config(database.superuser_url());
    let (mut one, notifier) = connected(&config).await;
    let (mut other, _) = connected(&config).await;
    let largest = "x".repeat(Notifier::PAYLOAD_LIMIT);
    notifier.notify(&["first".into(), String::new(), "second".into()]).await.unwrap();
    notifier.notify(std::slice::from_ref(&largest)).await.unwrap();
    for listener in [&mut one, &mut other] {
        for payload in ["first", "second", &largest] {
            assert_eq!(hears(listener).await, told(payload));
        }
    }
    let too_large = notifier.notify(&[largest + "x"]).await;
    assert!(matches!(too_large, Err(Error::Database(_))), "{too_large:?}");
    notifier.notify(&["third".into()]).await.unwrap();
    assert_eq!(hears(&mut one).await, told("third"));
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again_and_said_to_be() {
    let database = empty_database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let (mut listener, notifier) = connected(&through(&database, &proxy)).await;
    let (_, others) = connected(&config(database.superuser_url())).await;
    proxy.refuse().await;
    proxy.cut();
    assert_eq!(hears(&mut listener).await, Heard::Lost);
    let missed = notifier.notify(&["nobody sends this".into()]).await;
    assert!(matches!(missed, Err(Error::ConnectionLost(None))), "{missed:?}");
    others.notify(&["nobody hears this".into()]).await.unwrap();
    proxy.restore().await;
    assert_eq!(hears(&mut listener).await, Heard::Connected);
    notifier.notify(&["again".into()]).await.unwrap();
    assert_eq!(hears(&mut listener).await, told("again"));
}

#[tokio::test]
async fn a_connection_that_is_dead_without_a_word_is_noticed_and_a_silent_one_is_kept() {
    let database = empty_database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let (mut silent, others) = connected(&config(database.superuser_url())).await;
    let (mut dead, _) = connected(&through(&database, &proxy)).await;
    proxy.hang();
    let silence = tokio::spawn(async move { hears(&mut silent).await });
    let start = Instant::now();
    assert_eq!(hears(&mut dead).await, Heard::Lost);
    let took = start.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(18), "{took:?}");
    proxy.restore().await;
    assert_eq!(hears(&mut dead).await, Heard::Connected);
    others.notify(&["still there".into()]).await.unwrap();
    assert_eq!(silence.await.unwrap(), told("still there"));
}

#[tokio::test]
async fn nobody_listens_through_a_pooler_that_lends_connections() {
    let database = empty_database().await;
    let mut off = config(database.superuser_url());
    off.prepared_statements = false;
    let url = database.superuser_url();
    let separator = if url.contains('?') { '&' } else { '?' };
    for config in [off, config(format!("{url}{separator}pgbouncer=true"))] {
        assert!(Listener::new(&config, "pool_under_test").unwrap().is_none());
    }
}
