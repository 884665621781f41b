//! What the tests share.

use std::time::{Duration, Instant};

use parlant_db_pool::{Client, Config, Pool, Query, Statistics, Type};
use parlant_test_support::TestDatabase;

pub(crate) static ONE: Query = Query { name: "one", sql: "-- one\nselect 1", types: &[] };
pub(crate) static SLEEP: Query = Query { name: "sleep", sql: "-- sleep\nselect pg_sleep($1)", types: &[Type::FLOAT8] };
pub(crate) static PID: Query = Query { name: "pid", sql: "-- pid\nselect pg_backend_pid()", types: &[] };

/// Small and impatient, as a superuser.
pub(crate) fn config(url: impl Into<String>) -> Config {
    let mut config = Config::new(url.into());
    config.pool_size = 1;
    config.max_overflow = 3;
    config.pool_timeout = Duration::from_secs(1);
    config.connection_timeout = Duration::from_secs(2);
    config.command_timeout = Duration::from_secs(5);
    config.application_name = String::from("pool under test");
    config
}

pub(crate) fn pool(database: &TestDatabase) -> Pool {
    Pool::new(&config(database.superuser_url())).unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn until_statistics(pool: &Pool, expected: Statistics) {
    let start = Instant::now();
    while pool.statistics() != expected {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}, not {expected:?}", pool.statistics());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The server's view: connections of the pool under test in `database`.
pub(crate) async fn server_connections(client: &Client) -> i64 {
    count(
        client,
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pool under test'",
    )
    .await
}

/// The server's view: statements of the pool under test that run now.
pub(crate) async fn running_statements(client: &Client) -> i64 {
    count(
        client,
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pool under test' and state = 'active'",
    )
    .await
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}
