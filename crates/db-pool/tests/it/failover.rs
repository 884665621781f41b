//! Several hosts in the URL.

use std::time::{Duration, Instant};

use parlant_db_pool::{Error, Pool, Query, Row};
use parlant_embedded_postgres::{Cluster, Installation, Options};
use parlant_test_support::ChaosProxy;

use crate::postgres::{config, until};

static PORT: Query = Query { name: "port", sql: "-- port\nselect current_setting('port')", types: &[] };
static INSERT: Query = Query { name: "insert", sql: "-- insert\ninsert into written default values", types: &[] };

/// Two servers of which one takes writes.
struct Pair {
    first: Cluster,
    second: Cluster,
    /// In front of the first.
    proxy: ChaosProxy,
}

impl Pair {
    async fn start() -> Self {
        let installation = Installation::find(None).unwrap();
        let first = Cluster::start(&installation, Options::temporary()).await.unwrap();
        let second = Cluster::start(&installation, Options::temporary()).await.unwrap();
        // One password, so that one URL fits both.
        for cluster in [&first, &second] {
            let client = parlant_db_pool::connect(&config(cluster.url("postgres"))).await.unwrap();
            client
                .batch_execute("create role app superuser login password 'app'; create table written (id serial)")
                .await
                .unwrap();
        }
        let proxy = ChaosProxy::start(first.address()).await;
        let pair = Self { first, second, proxy };
        pair.writable(&pair.first, true).await;
        pair.writable(&pair.second, false).await;
        pair
    }

    /// As for a standby: sessions that are open feel it, too.
    async fn writable(&self, cluster: &Cluster, writable: bool) {
        let client = parlant_db_pool::connect(&config(cluster.url("postgres"))).await.unwrap();
        let value = if writable { "off" } else { "on" };
        client.batch_execute(&format!("alter system set default_transaction_read_only = {value}")).await.unwrap();
        client.batch_execute("select pg_reload_conf()").await.unwrap();
        until("reloaded", async || {
            let client = parlant_db_pool::connect(&config(cluster.url("postgres"))).await.unwrap();
            let row = client.query_one("show default_transaction_read_only", &[]).await.unwrap();
            row.get::<_, &str>(0) == value
        })
        .await;
    }

    fn url(&self, parameters: &str) -> String {
        format!("postgres://app:app@{},{}/postgres?{parameters}", self.proxy.address(), self.second.address())
    }
}

fn port(row: &Row) -> u16 {
    row.get::<_, &str>(0).parse().unwrap()
}

#[tokio::test]
async fn writes_follow_the_primary() {
    let pair = Pair::start().await;
    let (first, second) = (pair.first.address().port(), pair.second.address().port());
    let mut config = config(pair.url("target_session_attrs=read-write"));
    config.pool_size = 3;
    let pool = Pool::new(&config).unwrap();
    assert_eq!(port(&pool.query_one(&PORT, &[]).await.unwrap()), first);
    pool.execute(&INSERT, &[]).await.unwrap();

    // A switch-over without a broken connection: the first write is refused, and all that are connected to the
    // old primary are given up.
    pair.writable(&pair.second, true).await;
    pair.writable(&pair.first, false).await;
    let start = Instant::now();
    let mut errors = Vec::new();
    while let Err(error) = pool.execute(&INSERT, &[]).await {
        assert_eq!(error.class(), parlant_db_pool::Class::Transient, "{error:?}");
        errors.push(error);
        assert!(start.elapsed() < Duration::from_secs(5), "{errors:?}");
    }
    assert!(errors.len() <= 2, "{errors:?}");
    assert_eq!(port(&pool.query_one(&PORT, &[]).await.unwrap()), second);

    // And back, the hard way: the old primary takes writes again and the new one is gone for good.
    pair.writable(&pair.first, true).await;
    pair.second.stop().await;
    let start = Instant::now();
    while pool.execute(&INSERT, &[]).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    assert_eq!(port(&pool.query_one(&PORT, &[]).await.unwrap()), first);
    pool.close().await;
    pair.first.stop().await;
}

#[tokio::test]
async fn a_silent_first_host_costs_its_share_once() {
    let pair = Pair::start().await;
    pair.writable(&pair.second, true).await;
    pair.proxy.hang();
    let mut config = config(pair.url("target_session_attrs=any"));
    config.pool_size = 0;
    config.pool_timeout = Duration::from_secs(2);
    let pool = Pool::new(&config).unwrap();
    let start = Instant::now();
    let one = pool.get().await.unwrap();
    let first = start.elapsed();
    assert!(first > Duration::from_millis(900), "{first:?}");
    let start = Instant::now();
    let two = pool.get().await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
    for connection in [one, two] {
        let row = connection.query_one(&PORT, &[]).await.unwrap();
        assert_eq!(port(&row), pair.second.address().port());
    }
    let Pair { first, second, .. } = pair;
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn without_a_writable_host_nobody_connects() {
    let pair = Pair::start().await;
    pair.writable(&pair.first, false).await;
    let pool = Pool::new(&config(pair.url("target_session_attrs=read-write"))).unwrap();
    let error = pool.execute(&INSERT, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    // A reader is content.
    let pool = Pool::new(&config(pair.url("target_session_attrs=read-only"))).unwrap();
    pool.query_one(&PORT, &[]).await.unwrap();
    let Pair { first, second, .. } = pair;
    first.stop().await;
    second.stop().await;
}
