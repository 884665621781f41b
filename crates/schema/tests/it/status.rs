use parlant_schema::{Error, Migrations, Problem, State, Version};
use parlant_test_support::{TestDatabase, empty_database};

use crate::support::{apply, column, history, set};

const FIRST: (&str, &str) = ("V1__first", "create table parlant_a (x int)");
const SECOND: (&str, &str) = ("V2__second", "create table parlant_b (x int)");
const THIRD: (&str, &str) = ("V3__third", "create table parlant_c (x int)");

fn version(version: i32, name: &str) -> Version {
    Version { version, name: name.to_owned() }
}

/// Applies one set, then asks another one about the database; `apply` has to refuse as well, and change nothing.
async fn problems(applied: &Migrations, asked: &Migrations) -> (State, Vec<Problem>) {
    let database = empty_database().await;
    let client = database.superuser().await;
    apply(&database, applied).await.unwrap();
    let before = history(&client).await;

    let status = asked.status(&client).await.unwrap();
    let Err(Error::Unsuitable(refused)) = asked.verify(&client).await else { panic!("verified") };
    assert_eq!(refused.problems, status.problems);
    let Err(Error::Unsuitable(refused)) = apply(&database, asked).await else { panic!("applied") };
    assert_eq!(refused.problems, status.problems);

    assert_eq!(history(&client).await, before);
    (status.state, status.problems)
}

#[tokio::test]
async fn an_edited_file_has_diverged() {
    let edited = set([("V1__first", "create table parlant_a (x int) "), SECOND]);
    let found = problems(&set([FIRST]), &edited).await;
    assert_eq!(found, (State::Diverged, vec![Problem::Edited(version(1, "first"))]));

    let renamed = set([("V1__premier", FIRST.1)]);
    let found = problems(&set([FIRST]), &renamed).await;
    assert_eq!(found, (State::Diverged, vec![Problem::Edited(version(1, "first"))]));
}

#[tokio::test]
async fn a_missing_file_has_diverged() {
    let found = problems(&set([FIRST, SECOND, THIRD]), &set([FIRST, THIRD])).await;
    assert_eq!(found, (State::Diverged, vec![Problem::Missing(version(2, "second"))]));
}

#[tokio::test]
async fn a_file_added_below_the_newest_has_diverged() {
    let found = problems(&set([FIRST, THIRD]), &set([FIRST, SECOND, THIRD])).await;
    assert_eq!(found, (State::Diverged, vec![Problem::OutOfOrder(version(2, "second"))]));
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_told_from_a_broken_one() {
    let found = problems(&set([FIRST, SECOND]), &set([FIRST])).await;
    assert_eq!(found, (State::Newer, vec![Problem::Newer(version(2, "second"))]));

    // The newer program dropped what this one still makes.
    let newer = set([FIRST, ("V2__drop", "drop table parlant_a")]);
    let found = problems(&newer, &set([FIRST])).await;
    assert_eq!(found, (State::Newer, vec![Problem::Newer(version(2, "drop"))]));
}

#[tokio::test]
async fn a_table_that_somebody_dropped_has_diverged() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let files = set([FIRST, SECOND]);
    apply(&database, &files).await.unwrap();
    client.batch_execute("drop table parlant_a").await.unwrap();
    let status = files.status(&client).await.unwrap();
    assert_eq!(status.state, State::Diverged);
    assert_eq!(status.problems, [Problem::TableGone { name: "parlant_a".to_owned() }]);
}

#[tokio::test]
async fn a_history_that_cannot_be_read_has_diverged() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let files = set([FIRST, SECOND]);
    apply(&database, &set([FIRST])).await.unwrap();
    for damage in ["applied_on = 'yesterday'", "checksum = 'abc'"] {
        client.batch_execute("begin").await.unwrap();
        client.batch_execute(&format!("update parlant_migrations set {damage}")).await.unwrap();
        let status = files.status(&client).await.unwrap();
        assert_eq!(status.problems, [Problem::Edited(version(1, "first"))], "{damage}");
        client.batch_execute("rollback").await.unwrap();
    }
}

#[tokio::test]
async fn status_and_verify_change_nothing() {
    async fn look(database: &TestDatabase) -> State {
        let client = database.superuser().await;
        client.batch_execute("set default_transaction_read_only to on").await.unwrap();
        let state = set([FIRST]).status(&client).await.unwrap().state;
        let _ = set([FIRST]).verify(&client).await;
        state
    }
    let database = empty_database().await;
    assert_eq!(look(&database).await, State::Pending);
    let client = database.superuser().await;
    let made = column(&client, "select relname::text from pg_class where relnamespace = 'public'::regnamespace").await;
    assert_eq!(made, Vec::<String>::new());
    apply(&database, &set([FIRST])).await.unwrap();
    assert_eq!(look(&database).await, State::UpToDate);
}
