use std::time::{Duration, Instant};

use parlant_db_pool::{Class, Error, Pool, Statistics};
use parlant_test_support::empty_database;

use crate::postgres::{ONE, PID, SLEEP, config, pool, running_statements, server_connections, until, until_statistics};

#[tokio::test]
async fn the_base_is_warm_before_anybody_asks() {
    let database = empty_database().await;
    let mut config = config(database.superuser_url());
    config.pool_size = 4;
    let pool = Pool::new(&config).unwrap();
    let warm = Statistics { active: 0, idle: 4, max: 7, waiting: 0 };
    until_statistics(&pool, warm).await;
    assert_eq!(server_connections(&database.superuser().await).await, 4);

    // And is used before anything new is made.
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    assert_eq!(server_connections(&database.superuser().await).await, 4);
    drop(held);
    assert_eq!(pool.statistics(), warm);
}

#[tokio::test]
async fn overflow_grows_under_load_and_is_retired_when_idle() {
    let database = empty_database().await;
    let mut config = config(database.superuser_url());
    config.pool_size = 2;
    config.max_overflow = 4;
    config.overflow_idle = Duration::from_millis(300);
    let pool = Pool::new(&config).unwrap();
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(pool.get().await.unwrap());
    }
    let observer = database.superuser().await;
    assert_eq!(server_connections(&observer).await, 6);
    assert_eq!(pool.statistics().active, 6);
    drop(held);
    let base = Statistics { active: 0, idle: 2, max: 6, waiting: 0 };
    until_statistics(&pool, base).await;
    until("two left", async || server_connections(&observer).await == 2).await;
    // The base stays.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(pool.statistics(), base);
}

#[tokio::test]
async fn a_full_pool_refuses_within_the_pool_timeout() {
    let database = empty_database().await;
    let mut config = config(database.superuser_url());
    config.pool_size = 2;
    config.max_overflow = 0;
    config.pool_timeout = Duration::from_millis(300);
    let pool = Pool::new(&config).unwrap();
    let warm = Statistics { active: 0, idle: 2, max: 2, waiting: 0 };
    until_statistics(&pool, warm).await;
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];

    let start = Instant::now();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get().await }
    });
    until_statistics(&pool, Statistics { active: 2, idle: 0, max: 2, waiting: 1 }).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Exhausted), "{error:?}");
    assert_eq!(error.class(), Class::Transient);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(290), "{took:?}");
    assert!(took < Duration::from_millis(600), "{took:?}");

    // Whoever returns one serves the next.
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get().await.map(drop) }
    });
    drop(held);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn there_are_never_more_connections_than_base_and_overflow() {
    let database = empty_database().await;
    let mut config = config(database.superuser_url());
    config.max_overflow = 2;
    config.pool_timeout = Duration::from_secs(10);
    let pool = Pool::new(&config).unwrap();
    let observer = database.superuser().await;
    let mut tasks = Vec::new();
    for index in 0..60_u32 {
        let pool = pool.clone();
        tasks.push(tokio::spawn(async move {
            // Some callers go away in the middle.
            let patience = Duration::from_millis(if index % 3 == 0 { 10 } else { 5000 });
            let _ = tokio::time::timeout(patience, pool.query(&SLEEP, &[&0.02_f64])).await;
        }));
    }
    let mut most = 0;
    while tasks.iter().any(|task| !task.is_finished()) {
        most = most.max(server_connections(&observer).await);
    }
    assert!(most <= 3, "{most}");
    until("all are back", async || {
        let now = pool.statistics();
        now.active == 0 && now.waiting == 0
    })
    .await;
}

#[tokio::test]
async fn a_dropped_caller_takes_its_statement_with_it() {
    let database = empty_database().await;
    let mut config = config(database.superuser_url());
    config.max_overflow = 0;
    let pool = Pool::new(&config).unwrap();
    let observer = database.superuser().await;
    let connection = pool.get().await.unwrap();
    let sleeping = connection.query(&SLEEP, &[&60_f64]);
    let abandoned = tokio::time::timeout(Duration::from_millis(200), sleeping).await;
    assert!(abandoned.is_err());
    assert_eq!(running_statements(&observer).await, 1);
    drop(connection);

    let start = Instant::now();
    pool.query(&ONE, &[]).await.unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(running_statements(&observer).await, 0);
}

#[tokio::test]
async fn a_connection_killed_while_idle_is_not_handed_out() {
    let database = empty_database().await;
    let pool = pool(&database);
    let pid: i32 = pool.query_one(&PID, &[]).await.unwrap().get(0);
    let observer = database.superuser().await;
    observer.execute("select pg_terminate_backend($1, 5000)", &[&pid]).await.unwrap();
    until("it is noticed", async || {
        let next: i32 = pool.query_one(&PID, &[]).await.unwrap().get(0);
        next != pid
    })
    .await;
}

#[tokio::test]
async fn a_lost_base_connection_is_replaced_without_being_asked_for() {
    let database = empty_database().await;
    let pool = pool(&database);
    let base = Statistics { active: 0, idle: 1, max: 4, waiting: 0 };
    until_statistics(&pool, base).await;
    let observer = database.superuser().await;
    observer
        .execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and application_name = 'pool under test'",
            &[],
        )
        .await
        .unwrap();
    until("replaced", async || server_connections(&observer).await == 1).await;
    until_statistics(&pool, base).await;
}

#[tokio::test]
async fn a_closed_pool_says_so_and_leaves_nothing_behind() {
    let database = empty_database().await;
    let pool = pool(&database);
    let held = pool.get().await.unwrap();
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close().await }
    });
    until("closed", async || matches!(pool.get().await, Err(Error::Closed))).await;
    // Who holds a connection may finish.
    held.query_one(&ONE, &[]).await.unwrap();
    drop(held);
    closing.await.unwrap();
    let observer = database.superuser().await;
    until("gone", async || server_connections(&observer).await == 0).await;
}

#[tokio::test]
async fn a_dropped_pool_leaves_nothing_behind() {
    let database = empty_database().await;
    let pool = pool(&database);
    pool.query(&ONE, &[]).await.unwrap();
    drop(pool);
    let observer = database.superuser().await;
    until("gone", async || server_connections(&observer).await == 0).await;
}

#[tokio::test]
async fn an_unused_connection_is_pinged_before_it_is_used_again() {
    let database = empty_database().await;
    let proxy = parlant_test_support::ChaosProxy::start(database.address()).await;
    let url = database.superuser_url().replace(&database.address().to_string(), &proxy.address().to_string());
    let mut config = config(url);
    config.ping_after = Duration::from_millis(100);
    config.pool_timeout = Duration::from_secs(4);
    let pool = Pool::new(&config).unwrap();
    pool.query(&ONE, &[]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.hang();
    let start = Instant::now();
    let next = tokio::spawn({
        let pool = pool.clone();
        async move { pool.query(&ONE, &[]).await }
    });
    // The ping runs out, then the server is well for new connections.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    proxy.restore().await;
    next.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

/// On one thread, so that the connection is cut only after it was handed out.
#[tokio::test(flavor = "current_thread")]
async fn a_one_shot_that_never_ran_moves_to_another_connection() {
    let database = empty_database().await;
    let proxy = parlant_test_support::ChaosProxy::start(database.address()).await;
    let url = database.superuser_url().replace(&database.address().to_string(), &proxy.address().to_string());
    let pool = Pool::new(&config(url)).unwrap();
    until("warm", async || pool.statistics().idle == 1).await;
    proxy.cut();
    pool.query(&ONE, &[]).await.unwrap();
}
