//! What is in the way of a connection, and what the role lacks behind it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlant_db_pool::{Config, connect};
use parlant_embedded_postgres::{Cluster, Installation, Options};
use parlant_ops_core::doctor::Severity;
use parlant_test_support::{ChaosProxy, database, empty_database};

use crate::{examine, ids};

#[tokio::test]
async fn nothing_is_wrong_with_a_database_that_is_well() {
    let database = database().await;
    let diagnosis = examine(&[("DATABASE_URL", &database.url())]).await;
    assert_eq!(diagnosis.findings, []);
    assert!(diagnosis.text(80).contains("Nothing is wrong."), "{}", diagnosis.text(80));
}

#[tokio::test]
async fn each_obstacle_has_a_finding_of_its_own() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    proxy.refuse().await;
    let refused = database.url_through(proxy.address());
    let silent = ChaosProxy::start(database.address()).await;
    silent.hang();
    let superuser = database.superuser().await;
    let (name, address) = (database.name(), database.address().to_string());
    let sql = format!(
        "create role lonely_{name} password 'x'; create role limited_{name} login connection limit 0;
         create role strange_{name} login password 'right'; create database closed_{name};"
    );
    for one in sql.split(';').filter(|one| !one.trim().is_empty()) {
        superuser.batch_execute(one).await.unwrap();
    }
    superuser.batch_execute(&format!("revoke connect on database closed_{name} from public")).await.unwrap();
    let password = database.url().split([':', '@']).nth(2).unwrap().to_owned();
    for role in ["lonely", "limited"] {
        superuser.batch_execute(&format!("alter role {role}_{name} password '{password}'")).await.unwrap();
    }
    for (url, expected) in [
        ("postgres://parlant_app:canary@nowhere.invalid/sim".to_owned(), "database.unknown_host"),
        (refused, "database.refused"),
        (database.url_through(silent.address()), "database.silent"),
        (database.url() + "?sslmode=require", "database.tls"),
        (database.url().replace(&password, "canary"), "database.password"),
        (format!("postgres://parlant_app@{address}/{name}"), "database.password"),
        (format!("postgres://lonely_{name}:{password}@{address}/{name}"), "database.role"),
        (format!("postgres://limited_{name}:{password}@{address}/{name}"), "database.full"),
        (database.url().replace(name, "canary_base"), "database.no_database"),
        (database.url().replace(name, &format!("closed_{name}")), "database.no_connect"),
        (database.url() + "?target_session_attrs=read-only", "database.wrong_server"),
    ] {
        let begun = Instant::now();
        let diagnosis = examine(&[("DATABASE_URL", &url), ("DATABASE_CONNECTION_TIMEOUT", "2s")]).await;
        assert_eq!(ids(&diagnosis), [expected], "{url}: {diagnosis:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{expected}");
        assert!(diagnosis.is_broken());
        // The schema is not looked at, and that is said.
        assert!(diagnosis.skipped.iter().any(|skipped| skipped.because == Some(expected)), "{diagnosis:?}");
        let told = diagnosis.text(80) + &serde_json::to_string(&diagnosis).unwrap();
        for secret in [password.as_str(), "canary:", ":canary"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}

#[tokio::test]
async fn who_is_not_admitted_by_the_rules_is_told_so() {
    let installation = Installation::find(None).unwrap();
    let cluster = Cluster::start(&installation, Options::temporary()).await.unwrap();
    let admin = connect(&Config::new(cluster.url("postgres"))).await.unwrap();
    let rules: String = admin.query_one("show hba_file", &[]).await.unwrap().get(0);
    std::fs::write(rules, "host all nobody_else 127.0.0.1/32 scram-sha-256\n").unwrap();
    admin.batch_execute("select pg_reload_conf()").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    // Until the postmaster has read them, the role is admitted and lacks the bridge's tables.
    while ids(&examine(&[("DATABASE_URL", &cluster.url("postgres"))]).await) != ["database.not_admitted"] {
        assert!(Instant::now() < deadline, "still admitted");
    }
}

#[tokio::test]
async fn statements_that_take_long_are_named_by_their_first_line() {
    let installation = Installation::find(None).unwrap();
    let options = Options::temporary().setting("shared_preload_libraries", "pg_stat_statements");
    let cluster = Cluster::start(&installation, options).await.unwrap();
    let url = cluster.url("postgres");
    let client = connect(&Config::new(url.clone())).await.unwrap();
    client.batch_execute("create extension pg_stat_statements").await.unwrap();
    let slow = (0..10).map(|_| async {
        let client = connect(&Config::new(url.clone())).await.unwrap();
        client.query("-- find_canary\nselect pg_sleep(1.1), $1::text", &[&"canary"]).await.unwrap();
    });
    join_all(slow).await;
    let diagnosis = examine(&[("DATABASE_URL", &url)]).await;
    let told = diagnosis.findings.iter().find(|finding| finding.id == "database.slow_statements");
    let told = told.unwrap_or_else(|| panic!("{}", diagnosis.text(120)));
    assert!(told.evidence[0].starts_with("find_canary: 10 calls of 1."), "{told:?}");
    assert!(!diagnosis.text(120).replace("find_canary", "").contains("canary"));
}

#[tokio::test]
async fn what_the_role_lacks_is_named_with_the_grant() {
    let database = database().await;
    let superuser = database.superuser().await;
    superuser
        .batch_execute(
            "revoke insert on parlant_outbox from parlant_app; revoke select (token) on session from parlant_app;
             revoke select (name) on \"user\" from parlant_app",
        )
        .await
        .unwrap();
    let diagnosis = examine(&[("DATABASE_URL", &database.url())]).await;
    assert_eq!(ids(&diagnosis), ["database.grants"]);
    // What is to be pasted mends it.
    for line in diagnosis.findings[0].mend.lines() {
        superuser.batch_execute(&pasted(line)).await.unwrap();
    }
    assert_eq!(ids(&examine(&[("DATABASE_URL", &database.url())]).await), [""; 0]);
}

#[tokio::test]
async fn a_schema_that_is_not_what_it_should_be_is_told_with_what_mends_it() {
    let empty = empty_database().await;
    assert_eq!(ids(&examine(&[("DATABASE_URL", &empty.url())]).await), ["schema.pending"]);

    let database = database().await;
    let superuser = database.superuser().await;
    let url = database.url();
    let look = async || examine(&[("DATABASE_URL", &url)]).await;
    superuser.batch_execute("drop index parlant_agent_forgotten_idx, parlant_agent_active_name_key").await.unwrap();
    let diagnosis = look().await;
    assert_eq!(ids(&diagnosis), ["schema.index_missing"]);
    assert_eq!(diagnosis.findings[0].severity, Severity::Warning);
    for line in diagnosis.findings[0].mend.lines() {
        let sql = pasted(line);
        assert!(sql.contains(" concurrently "), "{sql}");
        superuser.batch_execute(&sql).await.unwrap();
    }
    assert_eq!(ids(&look().await), [""; 0]);

    superuser.batch_execute("drop table parlant_outbox").await.unwrap();
    assert_eq!(ids(&look().await), ["schema.table_missing"]);
}

#[tokio::test]
async fn a_lock_that_somebody_keeps_is_told_with_who() {
    let database = database().await;
    let holder = connect(&Config::new(database.migrator_url())).await.unwrap();
    holder.batch_execute("begin; lock table parlant_agent in access exclusive mode").await.unwrap();
    let pid: i32 = holder.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let diagnosis = examine(&[("DATABASE_URL", &database.url())]).await;
    assert_eq!(ids(&diagnosis), ["database.locked"]);
    let told = diagnosis.findings[0].evidence.join("\n");
    assert!(told.contains(&pid.to_string()) && told.contains("parlant_migrator"), "{told}");

    // Nobody but those who wait can tell of a weaker one.
    holder.batch_execute("commit; begin; lock table parlant_session in share mode").await.unwrap();
    assert_eq!(ids(&examine(&[("DATABASE_URL", &database.url())]).await), [""; 0]);
    let waiter = connect(&Config::new(database.superuser_url())).await.unwrap();
    let waits_for = "begin; lock table parlant_session in exclusive mode; commit";
    let waiting = tokio::spawn(async move { waiter.batch_execute(waits_for).await });
    let waits = "select count(*) from pg_locks where not granted and waitstart < clock_timestamp() - interval '2 s'";
    let superuser = database.superuser().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while superuser.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(Instant::now() < deadline && !waiting.is_finished(), "it does not wait");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ids(&examine(&[("DATABASE_URL", &database.url())]).await), ["database.locked"]);
    holder.batch_execute("commit").await.unwrap();
    waiting.await.unwrap().unwrap();
}

/// The statement of a command.
fn pasted(line: &str) -> String {
    let words = shlex::split(line).unwrap();
    assert_eq!(words[..3], ["psql", "$ADMIN_URL", "-c"], "{line}");
    words[3].clone()
}
