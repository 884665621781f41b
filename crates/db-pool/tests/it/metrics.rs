use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use parlant_db_pool::{Error, Pool};
use parlant_test_support::empty_database;

use crate::postgres::{ONE, config, until};

/// On one thread, so that this thread's recorder sees everything.
#[tokio::test(flavor = "current_thread")]
async fn the_documented_metrics_are_recorded() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let database = empty_database().await;
    let mut config = config(database.superuser_url());
    config.pool_size = 2;
    config.max_overflow = 0;
    config.pool_timeout = Duration::from_millis(200);
    let pool = Pool::new(&config).unwrap();
    pool.announce(&[&ONE]);
    config.name = Some("other");
    let other = Pool::new(&config).unwrap();
    let text = handle.render();
    for line in [
        "parlant_database_pool_timeouts_total 0",
        "parlant_database_connections_max 2",
        r#"parlant_database_connections{pool="other",state="active"} 0"#,
        r#"parlant_database_query_duration_seconds_count{query="one"} 0"#,
    ] {
        assert!(text.contains(line), "{text}");
    }
    let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert_eq!(text.lines().filter(|line| line.starts_with("# HELP")).count(), families, "{text}");

    until("warm", async || pool.statistics().idle == 2).await;
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    held[0].query(&ONE, &[]).await.unwrap();
    held[0].query(&ONE, &[]).await.unwrap();
    assert!(matches!(pool.get().await, Err(Error::Exhausted)));
    let waiting = async {
        loop {
            let _ = pool.get().await;
        }
    };
    let expected = [
        "parlant_database_pool_timeouts_total ",
        r#"parlant_database_connections{state="active"} 2"#,
        r#"parlant_database_connections{state="idle"} 0"#,
        "parlant_database_connections_max 2",
        "parlant_database_pool_waiting 1",
        // Another pool's numbers stand beside these, not in their place.
        r#"parlant_database_connections{pool="other",state="idle"} 2"#,
        r#"parlant_database_pool_waiting{pool="other"} 0"#,
        r#"parlant_database_query_duration_seconds_count{query="one"} 2"#,
        "parlant_database_pool_wait_seconds_count ",
    ];
    let seen = until("sampled", async || {
        let text = handle.render();
        expected.iter().all(|line| text.contains(line))
    });
    tokio::select! {
        () = seen => {}
        () = waiting => {}
    }
    drop(other);
}
