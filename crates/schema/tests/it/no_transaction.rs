//! Files that run outside of a transaction.

use parlant_db_pool::SqlState;
use parlant_schema::{Error, Migrations};
use parlant_test_support::{TestDatabase, empty_database};
use tokio_postgres::Client;

use crate::support::{Doomed, apply, column, history, set, until};

const TABLE: (&str, &str) = ("V1__table", "create table parlant_a (x int); insert into parlant_a values (1), (1)");
const INDEX: (&str, &str) = (
    "V2__index",
    "-- no-transaction\n-- One row for each x.\ncreate unique index concurrently if not exists parlant_a_x on parlant_a (x);",
);

async fn indexes(client: &Client) -> Vec<String> {
    column(
        client,
        "select indexrelid::regclass::text || ' ' || indisvalid from pg_index
         where indrelid = 'public.parlant_a'::regclass",
    )
    .await
}

/// Starts the concurrent index, which waits for a writer, and returns once it does.
async fn hang_in_the_index(database: &TestDatabase, watcher: &Client) -> Doomed {
    let run = Doomed::apply(database, set([TABLE, INDEX]));
    until(
        watcher,
        "select exists (select from pg_stat_activity a join pg_locks l using (pid)
         where a.datname = current_database() and a.query ilike '%create unique index%' and not l.granted)",
    )
    .await;
    run
}

#[tokio::test]
async fn an_index_left_invalid_by_a_killed_run_is_made_again() {
    for terminate in [true, false] {
        let database = empty_database().await;
        let client = database.superuser().await;
        let writer = database.superuser().await;
        apply(&database, &set([TABLE])).await.unwrap();
        writer.batch_execute("begin; delete from parlant_a").await.unwrap();
        let run = hang_in_the_index(&database, &client).await;
        if terminate {
            let end = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and query ilike '%create unique index%' and pid <> pg_backend_pid()";
            client.batch_execute(end).await.unwrap();
        }
        run.kill();
        until(
            &client,
            "select not exists (select from pg_stat_activity where datname = current_database()
             and application_name = 'a-migration')",
        )
        .await;
        assert_eq!(indexes(&client).await, ["parlant_a_x false"]);
        writer.batch_execute("commit").await.unwrap();

        apply(&database, &set([TABLE, INDEX])).await.unwrap();
        assert_eq!(indexes(&client).await, ["parlant_a_x true"]);
        assert_eq!(history(&client).await, ["table", "index"]);
    }
}

#[tokio::test]
async fn an_index_that_cannot_be_made_leaves_no_invalid_one() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let Err(Error::Failed { cause, migration }) = apply(&database, &set([TABLE, INDEX])).await else {
        panic!("made a unique index over duplicates");
    };
    assert_eq!(cause.sqlstate.as_ref().map(SqlState::code), Some("23505"));
    assert_eq!(migration.to_string(), "V2__index");
    assert_eq!(indexes(&client).await, [""; 0]);
    assert_eq!(history(&client).await, ["table"]);

    client.batch_execute("delete from parlant_a").await.unwrap();
    apply(&database, &set([TABLE, INDEX])).await.unwrap();
    assert_eq!(indexes(&client).await, ["parlant_a_x true"]);
}

#[tokio::test]
async fn a_run_killed_between_the_index_and_its_history_row_is_continued() {
    let database = empty_database().await;
    let client = database.superuser().await;
    apply(&database, &set([TABLE])).await.unwrap();
    client.batch_execute("delete from parlant_a; create unique index parlant_a_x on parlant_a (x)").await.unwrap();
    apply(&database, &set([TABLE, INDEX])).await.unwrap();
    assert_eq!(history(&client).await, ["table", "index"]);
}

#[test]
fn files_that_the_runner_could_not_continue_are_refused() {
    let refusal = |name: &str, text: &str| match Migrations::from_pairs([(name, text)]) {
        Err(Error::Malformed { reason, .. }) => reason,
        other => panic!("{text}: {other:?}"),
    };
    for (text, expected) in [
        ("-- no-transaction\nselect 1; select 2", "this one has 2"),
        ("-- no-transaction\n", "this one has 0"),
        ("-- no-transaction\ncreate index concurrently i on t (x)", "IF NOT EXISTS"),
        ("-- no-transaction\ncreate index concurrently if not exists on t (x)", "a name"),
        ("create index concurrently if not exists i on t (x)", "first line"),
        ("create table t (); commit", "`commit`"),
        ("BEGIN; create table t ()", "`begin`"),
    ] {
        let reason = refusal("V1__x", text);
        assert!(reason.contains(expected), "{text}: {reason}");
    }
    assert!(refusal("U1__x", "select 1").contains("begin with V"));
    assert!(!refusal("first", "select 1").is_empty());
    let twice = Migrations::from_pairs([("V1__a", "select 1"), ("V1__b", "select 1")]);
    assert!(matches!(twice, Err(Error::Malformed { .. })), "{twice:?}");
}
