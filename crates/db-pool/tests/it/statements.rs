use std::time::{Duration, Instant};

use parlant_db_pool::{Class, Error, Pool, Query, SqlState, Type};
use parlant_test_support::empty_database;

use crate::postgres::{ONE, PID, SLEEP, config, pool, running_statements, until};

static ITEMS: Query =
    Query { name: "items", sql: "-- items\nselect * from item where id >= $1 order by id", types: &[Type::INT4] };
static ADD_ITEM: Query = Query {
    name: "add_item",
    sql: "-- add_item\ninsert into item (id, name) values ($1, $2)",
    types: &[Type::INT4, Type::TEXT],
};
const TABLE: &str = "create table item (id int4 constraint item_id primary key, name text not null)";

#[tokio::test]
async fn statements_run_prepared_and_unprepared() {
    let database = empty_database().await;
    database.superuser().await.batch_execute(TABLE).await.unwrap();
    for prepared in [true, false] {
        let mut config = config(database.superuser_url());
        config.prepared_statements = prepared;
        let pool = Pool::new(&config).unwrap();
        let connection = pool.get().await.unwrap();
        assert_eq!(connection.execute(&ADD_ITEM, &[&1, &"one"]).await.unwrap(), 1);
        assert_eq!(pool.execute(&ADD_ITEM, &[&2, &"two"]).await.unwrap(), 1);
        assert_eq!(pool.query(&ITEMS, &[&1]).await.unwrap().len(), 2);
        let last = pool.query_one(&ITEMS, &[&2]).await.unwrap();
        assert_eq!(last.get::<_, &str>("name"), "two");
        assert!(pool.query_opt(&ITEMS, &[&3]).await.unwrap().is_none());

        let none = pool.query_one(&ITEMS, &[&3]).await.unwrap_err();
        let many = pool.query_opt(&ITEMS, &[&1]).await.unwrap_err();
        assert!(matches!(none, Error::Rows { query: "items" }), "{none:?}");
        assert!(matches!(many, Error::Rows { query: "items" }), "{many:?}");

        let duplicate = pool.execute(&ADD_ITEM, &[&1, &"one"]).await.unwrap_err();
        assert_eq!(duplicate.sqlstate(), Some(&SqlState::UNIQUE_VIOLATION));
        assert_eq!(duplicate.constraint(), Some("item_id"));
        assert_eq!(duplicate.class(), Class::Permanent);
        assert_eq!(duplicate.to_string(), "database error 23505");

        let few = pool.execute(&ADD_ITEM, &[&1]).await.unwrap_err();
        let wrong = pool.execute(&ADD_ITEM, &[&1, &2]).await.unwrap_err();
        assert_eq!(few.class(), Class::Permanent, "{few:?}");
        assert!(matches!(wrong, Error::Usage(_)), "{wrong:?}");
        // None of it hurt the connection.
        pool.execute(&ADD_ITEM, &[&9, &"nine"]).await.unwrap();
        database.superuser().await.batch_execute("truncate item").await.unwrap();
    }
}

#[tokio::test]
async fn pgbouncer_in_the_url_turns_prepared_statements_off() {
    static PREPARED: Query =
        Query { name: "prepared", sql: "-- prepared\nselect count(*) from pg_prepared_statements", types: &[] };
    let database = empty_database().await;
    for (parameters, expected) in [("", 1_i64), ("?pgbouncer=true", 0)] {
        let url = format!("{}{parameters}", database.superuser_url());
        let pool = Pool::new(&config(url)).unwrap();
        let count: i64 = pool.query_one(&PREPARED, &[]).await.unwrap().get(0);
        assert_eq!(count, expected, "{parameters}");
    }
}

#[tokio::test]
async fn the_server_ends_a_statement_that_runs_too_long() {
    let database = empty_database().await;
    let mut config = config(database.superuser_url());
    config.command_timeout = Duration::from_millis(200);
    let pool = Pool::new(&config).unwrap();
    let connection = pool.get().await.unwrap();
    let before: i32 = connection.query_one(&PID, &[]).await.unwrap().get(0);
    let error = connection.query(&SLEEP, &[&60_f64]).await.unwrap_err();
    assert!(matches!(error, Error::StatementTimeout), "{error:?}");
    assert_eq!(error.class(), Class::Transient);
    // The connection is as good as new.
    let after: i32 = connection.query_one(&PID, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}

#[tokio::test]
async fn without_the_servers_timeout_the_client_ends_it() {
    let database = empty_database().await;
    let mut config = config(database.superuser_url());
    config.command_timeout = Duration::from_millis(200);
    // Nothing is set for the session then.
    config.prepared_statements = false;
    let pool = Pool::new(&config).unwrap();
    let start = Instant::now();
    let error = pool.query(&SLEEP, &[&60_f64]).await.unwrap_err();
    assert!(matches!(error, Error::StatementTimeout), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let observer = database.superuser().await;
    until("cancelled", async || running_statements(&observer).await == 0).await;
    pool.query(&ONE, &[]).await.unwrap();
}

#[tokio::test]
async fn a_changed_table_does_not_fail_a_prepared_statement() {
    let database = empty_database().await;
    let admin = database.superuser().await;
    admin.batch_execute(TABLE).await.unwrap();
    let pool = pool(&database);
    assert_eq!(pool.query(&ITEMS, &[&0]).await.unwrap().len(), 0);

    admin.batch_execute("alter table item add extra int4; insert into item values (1, 'one', 7)").await.unwrap();
    let row = pool.query_one(&ITEMS, &[&0]).await.unwrap();
    assert_eq!(row.get::<_, i32>("extra"), 7);

    admin.batch_execute("alter table item add more text").await.unwrap();
    let columns = pool
        .transaction("items", async |transaction| Ok::<_, Error>(transaction.query_one(&ITEMS, &[&0]).await?.len()))
        .await
        .unwrap();
    assert_eq!(columns, 4);
}

#[tokio::test]
async fn a_forgotten_prepared_statement_is_prepared_again() {
    static FORGET: Query = Query { name: "forget", sql: "-- forget\ndeallocate all", types: &[] };
    let database = empty_database().await;
    let pool = pool(&database);
    let connection = pool.get().await.unwrap();
    connection.query(&ONE, &[]).await.unwrap();
    connection.execute(&FORGET, &[]).await.unwrap();
    connection.query(&ONE, &[]).await.unwrap();
}

#[tokio::test]
async fn a_real_refusal_is_not_mistaken_for_a_stale_statement() {
    static UNSUPPORTED: Query = Query {
        name: "unsupported",
        sql: "-- unsupported\nselect 1 from pg_class for update of pg_class, nothing",
        types: &[],
    };
    static REFUSED: Query =
        Query { name: "refused", sql: "-- refused\nselect count(*) from pg_class for update", types: &[] };
    let database = empty_database().await;
    let pool = pool(&database);
    let error = pool.query(&REFUSED, &[]).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
    assert_eq!(error.class(), Class::Permanent);
    pool.query(&UNSUPPORTED, &[]).await.unwrap_err();
}

#[tokio::test]
async fn a_statement_on_a_connection_that_died_is_transient_and_one_shots_hide_it_when_they_can() {
    let database = empty_database().await;
    let pool = pool(&database);
    let connection = pool.get().await.unwrap();
    let pid: i32 = connection.query_one(&PID, &[]).await.unwrap().get(0);
    let observer = database.superuser().await;
    observer.execute("select pg_terminate_backend($1, 5000)", &[&pid]).await.unwrap();
    let error = connection.query(&ONE, &[]).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost(_)), "{error:?}");
    assert_eq!(error.class(), Class::Transient);
    let again = connection.query(&ONE, &[]).await.unwrap_err();
    assert_eq!(again.class(), Class::Transient);
    drop(connection);
    pool.query(&ONE, &[]).await.unwrap();
}

#[tokio::test]
async fn the_session_shows_its_name_and_limits() {
    static SETTINGS: Query = Query {
        name: "settings",
        sql: "-- settings\nselect current_setting('application_name'), current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')",
        types: &[],
    };
    let database = empty_database().await;
    let pool = pool(&database);
    let row = pool.query_one(&SETTINGS, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "pool under test");
    assert_eq!(row.get::<_, &str>(1), "5s");
    assert_eq!(row.get::<_, &str>(2), "5s");

    let url = format!("{}?application_name=mine", database.superuser_url());
    let client = parlant_db_pool::connect(&config(url)).await.unwrap();
    let row = client.query_one(SETTINGS.sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "mine");
    assert_eq!(row.get::<_, &str>(1), "0", "a direct connection has no limit");
}
