use std::time::Duration;

use parlant_db_pool::Config;
use parlant_schema::{Error, LockMode, Migrations, Plan};
use parlant_test_support::{TestDatabase, database, empty_database};
use tokio_postgres::Client;

use crate::support::{apply, column, config, history, set, until};

const TABLE: (&str, &str) = ("V1__table", "create table parlant_a (x int, gone int)");

async fn plan(database: &TestDatabase, migrations: &Migrations) -> Result<Plan, Error> {
    migrations.plan(&config(database), None, std::future::pending()).await
}

/// The databases in which a plan of the session named `name` is, or was and left one behind.
async fn scratches(client: &Client) -> Vec<String> {
    column(client, "select datname::text from pg_database where datname like 'parlant\\_plan\\_%'").await
}

#[tokio::test]
async fn a_plan_reports_the_locks_that_were_really_taken() {
    let database = empty_database().await;
    apply(&database, &set([TABLE])).await.unwrap();
    let files = set([
        TABLE,
        ("V2__column", "alter table parlant_a add column y int"),
        ("V3__index", "-- no-transaction\ncreate index concurrently if not exists parlant_a_y on parlant_a (y)"),
        ("V4__rewrite", "alter table parlant_a alter column x type bigint"),
        ("V5__new", "create table parlant_b (x int); create index parlant_a_gone on parlant_a (gone)"),
        ("V6__drop", "-- no-transaction\ndrop index concurrently if exists parlant_a_gone"),
        ("V7__gone", "drop table parlant_b"),
        ("V8__vacuum", "-- no-transaction\nvacuum parlant_a"),
    ]);
    let plan = plan(&database, &files).await.unwrap();
    assert_eq!(plan.status.pending.len(), 7);

    let lock = |file: usize, relation: &str| {
        let locks = &plan.files[file].locks;
        locks.iter().find(|lock| lock.relation == relation).map(|lock| (lock.mode, lock.existed))
    };
    let name = |file: usize| plan.files[file].ran.version.to_string();

    assert_eq!(name(0), "V2__column");
    assert_eq!(lock(0, "parlant_a"), Some((LockMode::AccessExclusive, true)));
    assert_eq!(
        plan.files[0].warnings,
        ["nobody can read or write parlant_a until the file is done (ACCESS EXCLUSIVE)"]
    );

    assert_eq!(name(1), "V3__index");
    assert!(!plan.files[1].transaction);
    assert_eq!(lock(1, "parlant_a"), Some((LockMode::ShareUpdateExclusive, true)));
    assert_eq!(plan.files[1].warnings, [""; 0]);

    assert!(plan.files[2].warnings.iter().any(|warning| warning.contains("every row of parlant_a")), "{plan:?}");

    assert_eq!(lock(3, "parlant_a"), Some((LockMode::Share, true)));
    assert_eq!(lock(3, "parlant_b"), Some((LockMode::AccessExclusive, false)));
    assert_eq!(
        plan.files[3].warnings,
        ["nobody can write parlant_a until the file is done (SHARE)"],
        "a new table is nobody's yet"
    );

    assert_eq!(lock(4, "parlant_a"), Some((LockMode::ShareUpdateExclusive, true)));
    assert_eq!(lock(5, "parlant_b"), Some((LockMode::AccessExclusive, true)), "a dropped table is reported, too");
    assert!(plan.files[6].warnings.iter().any(|warning| warning.contains("may not all have been seen")), "{plan:?}");

    // The database itself is as it was.
    assert_eq!(history(&database.superuser().await).await, ["table"]);
}

#[tokio::test]
async fn a_plan_leaves_no_database_behind_however_it_ends() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let before = scratches(&client).await;
    let new = async || {
        let now = scratches(&client).await;
        now.into_iter().filter(|name| !before.contains(name)).collect::<Vec<_>>()
    };

    let Err(Error::Failed { migration, .. }) = plan(&database, &set([("V1__broken", "select nothing")])).await else {
        panic!("planned");
    };
    assert_eq!(migration.to_string(), "V1__broken");

    let slow = set([("V1__slow", "create table parlant_a (); select pg_sleep(600)")]);
    let interrupted = until(
        &client,
        "select exists (select from pg_stat_activity where datname like 'parlant\\_plan\\_%' and wait_event = 'PgSleep')",
    );
    let ended = slow.plan(&config(&database), None, interrupted).await;
    assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");

    plan(&database, &set([TABLE])).await.unwrap();
    // Other tests plan at the same time; theirs go as well.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !new().await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", new().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_a_killed_plan_left_is_swept_after_an_hour_and_nothing_else() {
    let old = "parlant_plan_018cc251f40070008000000000000000";
    let foreign = "parlant_plan_of_somebody";
    let database = empty_database().await;
    let client = database.superuser().await;
    client.batch_execute(&format!("create database {old}")).await.unwrap();
    client.batch_execute(&format!("create database {foreign}")).await.unwrap();
    plan(&database, &set([TABLE])).await.unwrap();
    let left = scratches(&client).await;
    assert!(!left.contains(&old.to_owned()) && left.contains(&foreign.to_owned()), "{left:?}");
    client.batch_execute(&format!("drop database {foreign}")).await.unwrap();
}

#[tokio::test]
async fn a_plan_with_nothing_pending_makes_no_database() {
    let database = database().await;
    // parlant_migrator has no CREATEDB, so trying would fail.
    let config = Config::new(database.migrator_url());
    let plan = Migrations::embedded().plan(&config, None, std::future::pending()).await.unwrap();
    assert!(plan.files.is_empty());

    let more = set([TABLE]);
    let database = empty_database().await;
    let config = Config::new(database.migrator_url());
    let error = more.plan(&config, None, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, Error::NoScratch), "{error:?}");
    // Another server, or a role that may, helps.
    let elsewhere = crate::support::config(&empty_database().await);
    assert_eq!(more.plan(&config, Some(&elsewhere), std::future::pending()).await.unwrap().files.len(), 1);
}
