use std::time::Duration;

use parlant_schema::{ApplyOptions, Error};
use parlant_test_support::empty_database;
use tokio::task::JoinSet;

use crate::support::{Doomed, apply, column, config, history, quick, session, set, until};

const FIRST: (&str, &str) = ("V1__first", "create table parlant_a (x int)");
const SECOND: (&str, &str) = ("V2__second", "create table parlant_b (x int)");

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_runs_at_once_all_succeed_even_with_a_concurrent_index() {
    let files = set([
        ("V1__first", "create table parlant_a (x int); insert into parlant_a select generate_series(1, 100)"),
        ("V2__index", "-- no-transaction\ncreate index concurrently if not exists parlant_a_x on parlant_a (x)"),
        ("V3__third", "alter table parlant_a add column y int not null default 0"),
    ]);
    for round in 0..20 {
        let database = empty_database().await;
        let mut runs = JoinSet::new();
        for _ in 0..16 {
            let (files, config) = (files.clone(), config(&database));
            runs.spawn(async move { files.apply(&config, &quick()).await });
        }
        let mut applied = 0;
        for outcome in runs.join_all().await {
            match outcome {
                Ok(report) => applied += report.applied.len(),
                Err(Error::Locked { .. }) => {}
                Err(other) => panic!("round {round}: {other}"),
            }
        }
        assert_eq!(applied, 3, "round {round}: every file was applied by one run");
        let client = database.superuser().await;
        assert_eq!(files.verify(&client).await.unwrap().applied.len(), 3);
        let valid = column(&client, "select indisvalid::text from pg_index where indexrelid = 'parlant_a_x'::regclass");
        assert_eq!(valid.await, ["true"]);
    }
}

#[tokio::test]
async fn applying_twice_does_nothing_the_second_time() {
    let database = empty_database().await;
    let files = set([FIRST, SECOND]);
    let names: Vec<_> =
        apply(&database, &files).await.unwrap().applied.iter().map(|ran| ran.version.to_string()).collect();
    assert_eq!(names, ["V1__first", "V2__second"]);
    assert!(apply(&database, &files).await.unwrap().applied.is_empty());
}

#[tokio::test]
async fn a_failing_file_leaves_nothing_of_itself_and_says_where_it_failed() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let broken = "create table parlant_b (x int unique);\ninsert into parlant_b values (4711);\n\
                  insert into\n  nowhere values (1)";
    let error = apply(&database, &set([FIRST, ("V2__broken", broken)])).await.unwrap_err();
    assert_eq!(error.to_string(), "V2__broken failed: relation \"nowhere\" does not exist in line 4 (SQLSTATE 42P01)");
    assert_eq!(history(&client).await, ["first"]);
    assert_eq!(column(&client, "select relname::text from pg_class where relname = 'parlant_b'").await, [""; 0]);

    let duplicate = "create table parlant_b (x int unique); insert into parlant_b values (4711), (4711)";
    let error = apply(&database, &set([FIRST, ("V2__broken", duplicate)])).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("(4711)"), "a row's content is nobody's business: {error:?}");

    apply(&database, &set([FIRST, SECOND])).await.unwrap();
}

#[tokio::test]
async fn a_run_that_dies_in_the_middle_is_continued_by_the_next() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let slow = "create table parlant_b (x int); select pg_sleep(600)";
    let run = Doomed::apply(&database, set([FIRST, ("V2__second", slow)]));
    let sleeping = "select exists (select from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep')";
    until(&client, sleeping).await;
    run.kill();

    // The server notices within a second and lets go of the lock.
    apply(&database, &set([FIRST, SECOND])).await.unwrap();
    assert_eq!(history(&client).await, ["first", "second"]);
}

#[tokio::test]
async fn a_run_whose_backend_is_terminated_is_continued_by_the_next() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let slow = set([FIRST, ("V2__second", "create table parlant_b (x int); select pg_sleep(600)")]);
    let (files, doomed) = (slow.clone(), config(&database));
    let run = tokio::spawn(async move { files.apply(&doomed, &quick()).await });
    let kill = "select coalesce(bool_or(pg_terminate_backend(pid)), false) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep'";
    until(&client, kill).await;
    assert!(matches!(run.await.unwrap(), Err(Error::Failed { .. })));
    apply(&database, &set([FIRST, SECOND])).await.unwrap();
    assert_eq!(history(&client).await, ["first", "second"]);
}

#[tokio::test]
async fn a_lock_that_stays_is_reported_with_its_holder() {
    let database = empty_database().await;
    let holder = session(&database, "somebody-else").await;
    holder.batch_execute("select pg_advisory_lock(1885434476, 1835624306)").await.unwrap();
    let options = ApplyOptions { lock_wait: Duration::from_millis(300), ..quick() };
    let error = set([FIRST]).apply(&config(&database), &options).await.unwrap_err();
    assert!(error.is_locked());
    let pid: i32 = holder.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let said = error.to_string();
    assert!(
        said.starts_with(&format!("another run holds the migration lock: somebody-else (pid {pid}, role "))
            && said.contains(", since 20"),
        "{said}"
    );

    // The lock belongs to a database: a run in another one does not wait.
    set([FIRST]).apply(&config(&empty_database().await), &options).await.unwrap();
}

#[tokio::test]
async fn a_run_that_waited_in_vain_succeeds_if_nothing_is_left_to_do() {
    let database = empty_database().await;
    let files = set([FIRST]);
    let holder = session(&database, "somebody-else").await;
    holder.batch_execute("select pg_advisory_lock(1885434476, 1835624306)").await.unwrap();
    let (waiting, target) = (files.clone(), config(&database));
    let options = ApplyOptions { lock_wait: Duration::from_secs(2), ..quick() };
    let run = tokio::spawn(async move { waiting.apply(&target, &options).await });
    until(&holder, "select exists (select from pg_stat_activity where application_name = 'a-migration')").await;
    let checksum = files.checksums().next().unwrap().1;
    holder
        .batch_execute(&format!(
            "create table parlant_a (x int);
             create table parlant_migrations (version int4 primary key, name text, applied_on text, checksum text);
             insert into parlant_migrations values (1, 'first', '2026-01-01T00:00:00Z', '{checksum}')"
        ))
        .await
        .unwrap();
    assert!(run.await.unwrap().unwrap().applied.is_empty());
}

#[tokio::test]
async fn nothing_runs_once_the_lock_is_lost() {
    for third in ["create table parlant_c ()", "-- no-transaction\nvacuum parlant_a"] {
        let database = empty_database().await;
        let files = set([FIRST, ("V2__unlocks", "select pg_advisory_unlock_all()"), ("V3__third", third)]);
        let error = apply(&database, &files).await.unwrap_err().to_string();
        assert!(error.starts_with("V3__third stopped: this session does not hold"), "{error}");
        assert_eq!(history(&database.superuser().await).await, ["first", "unlocks"]);
    }
}

#[tokio::test]
async fn tables_go_to_public_whatever_the_role_s_search_path_says() {
    let database = empty_database().await;
    let client = database.superuser().await;
    client
        .batch_execute(&format!(
            "create schema elsewhere; alter database \"{}\" set search_path to elsewhere",
            database.name()
        ))
        .await
        .unwrap();
    apply(&database, &set([FIRST])).await.unwrap();
    assert!(set([FIRST]).verify(&client).await.is_ok());
}
