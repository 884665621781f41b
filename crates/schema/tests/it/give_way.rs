//! A migration stands behind the people who use the tables.

use std::time::Duration;

use parlant_schema::{ApplyOptions, Error};
use parlant_test_support::empty_database;
use tokio::time::Instant;

use crate::support::{apply, config, history, quick, session, set, until};

const TABLE: (&str, &str) = ("V1__table", "create table parlant_a (x int)");
const COLUMN: (&str, &str) = ("V2__column", "alter table parlant_a add column y int");

#[tokio::test]
async fn a_long_reader_is_waited_for_in_short_tries_that_let_others_pass() {
    let database = empty_database().await;
    let reader = session(&database, "long-reader").await;
    apply(&database, &set([TABLE])).await.unwrap();
    reader.batch_execute("begin; select from parlant_a").await.unwrap();

    let target = config(&database);
    let run = tokio::spawn(async move { set([TABLE, COLUMN]).apply(&target, &quick()).await });
    let other = database.superuser().await;
    let queued = "select exists (select from pg_locks where mode = 'AccessExclusiveLock' and not granted
        and database = (select oid from pg_database where datname = current_database()))";
    until(&other, queued).await;
    // It stands in the queue before this one, for 100 ms at most.
    let started = Instant::now();
    other.batch_execute("select from parlant_a").await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!run.is_finished());

    reader.batch_execute("commit").await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().applied.len(), 1);
}

#[tokio::test]
async fn a_reader_that_stays_is_named_and_nothing_is_left_behind() {
    let database = empty_database().await;
    let reader = session(&database, "long-reader").await;
    apply(&database, &set([TABLE])).await.unwrap();
    reader.batch_execute("begin; select from parlant_a").await.unwrap();

    let options = ApplyOptions { patience: Duration::from_secs(1), ..quick() };
    let error = set([TABLE, COLUMN]).apply(&config(&database), &options).await.unwrap_err();
    assert!(error.is_locked());
    let Error::Blocked { tries, holders, .. } = &error else { panic!("{error}") };
    assert!(*tries > 1, "{tries}");
    assert_eq!(holders.first().unwrap().application_name, "long-reader");
    assert!(error.to_string().contains("tables are in use by long-reader (pid "), "{error}");
    assert_eq!(history(&reader).await, ["table"]);
}

#[tokio::test]
async fn a_concurrent_index_that_waits_in_vain_is_removed_and_the_writer_named() {
    let database = empty_database().await;
    let writer = session(&database, "long-writer").await;
    apply(&database, &set([TABLE])).await.unwrap();
    writer.batch_execute("begin; insert into parlant_a values (1)").await.unwrap();

    let index = ("V2__index", "-- no-transaction\ncreate index concurrently if not exists parlant_i on parlant_a (x)");
    let options = ApplyOptions { patience: Duration::from_millis(300), ..quick() };
    let error = set([TABLE, index]).apply(&config(&database), &options).await.unwrap_err();
    assert!(error.is_locked());
    assert!(error.to_string().contains("long-writer"), "{error}");

    writer.batch_execute("commit").await.unwrap();
    apply(&database, &set([TABLE, index])).await.unwrap();
    assert_eq!(history(&writer).await, ["table", "index"]);
}
