use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parlant_db_pool::{Class, Error, IsolationLevel, Pool, Query, SqlState, TransactionOptions, Type};
use parlant_test_support::{TestDatabase, empty_database};
use tokio::sync::Barrier;

use crate::postgres::{ONE, PID, SLEEP, config, pool, until};

static READ: Query =
    Query { name: "read", sql: "-- read\nselect balance from account where id = $1", types: &[Type::INT4] };
static WRITE: Query = Query {
    name: "write",
    sql: "-- write\nupdate account set balance = $2 where id = $1",
    types: &[Type::INT4, Type::INT8],
};
static ADD: Query = Query {
    name: "add",
    sql: "-- add\nupdate account set balance = balance + $2 where id = $1",
    types: &[Type::INT4, Type::INT8],
};
static BROKEN: Query =
    Query { name: "broken", sql: "-- broken\nselect 1 / (select count(*) from account where id = -1)", types: &[] };

async fn accounts() -> TestDatabase {
    let database = empty_database().await;
    database
        .superuser()
        .await
        .batch_execute(
            "create table account (id int4 primary key, balance int8 not null);
             create table later (id int4 references account deferrable initially deferred);
             insert into account values (1, 100), (2, 100)",
        )
        .await
        .unwrap();
    database
}

async fn balance(pool: &Pool, id: i32) -> i64 {
    pool.query_one(&READ, &[&id]).await.unwrap().get(0)
}

#[tokio::test]
async fn success_commits_and_failure_rolls_back() {
    let database = accounts().await;
    let pool = pool(&database);
    let done = pool
        .transaction("add", async |transaction| {
            transaction.execute(&ADD, &[&1, &1_i64]).await?;
            Ok::<_, Error>(transaction.query_one(&READ, &[&1]).await?.get::<_, i64>(0))
        })
        .await
        .unwrap();
    assert_eq!(done, 101);
    let failed: Result<(), Error> = pool
        .transaction("add", async |transaction| {
            transaction.execute(&ADD, &[&1, &1_i64]).await?;
            transaction.query(&BROKEN, &[]).await.map(drop)
        })
        .await;
    assert_eq!(failed.unwrap_err().sqlstate(), Some(&SqlState::DIVISION_BY_ZERO));
    assert_eq!(balance(&pool, 1).await, 101);
    assert_eq!(pool.statistics().active, 0);
}

#[tokio::test]
async fn a_swallowed_failure_is_not_mistaken_for_a_commit() {
    let database = accounts().await;
    let pool = pool(&database);
    let result: Result<(), Error> = pool
        .transaction("swallow", async |transaction| {
            transaction.execute(&ADD, &[&1, &1_i64]).await?;
            let _ = transaction.query(&BROKEN, &[]).await;
            Ok(())
        })
        .await;
    assert!(matches!(result, Err(Error::Aborted)), "{result:?}");
    assert_eq!(balance(&pool, 1).await, 100);
}

#[tokio::test]
async fn a_dropped_transaction_rolls_back_and_its_connection_serves_on() {
    let database = accounts().await;
    let mut config = config(database.superuser_url());
    config.max_overflow = 0;
    let pool = Pool::new(&config).unwrap();
    let pid: i32 = pool.query_one(&PID, &[]).await.unwrap().get(0);
    let work = pool.transaction("drop", async |transaction| {
        transaction.execute(&ADD, &[&1, &1_i64]).await?;
        std::future::pending::<Result<(), Error>>().await
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), work).await.is_err());
    assert_eq!(balance(&pool, 1).await, 100);
    let after: i32 = pool.query_one(&PID, &[]).await.unwrap().get(0);
    assert_eq!(pid, after);

    // In the middle of a statement it is cancelled instead.
    let work = pool.transaction("drop", async |transaction| {
        transaction.execute(&ADD, &[&1, &1_i64]).await?;
        transaction.query(&SLEEP, &[&60_f64]).await.map(drop)
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), work).await.is_err());
    assert_eq!(balance(&pool, 1).await, 100);
}

#[tokio::test]
async fn a_serialization_failure_is_run_again() {
    let database = accounts().await;
    let pool = pool(&database);
    let options = TransactionOptions { isolation: Some(IsolationLevel::Serializable), ..TransactionOptions::default() };
    let attempts = AtomicUsize::new(0);
    let both = Arc::new(Barrier::new(2));
    let add = async |amount: i64| {
        pool.transaction_with("add", options, async |transaction| {
            let first = attempts.fetch_add(1, Ordering::Relaxed) < 2;
            let old: i64 = transaction.query_one(&READ, &[&1]).await?.get(0);
            if first {
                // Both have read before either writes.
                both.wait().await;
            }
            transaction.execute(&WRITE, &[&1, &(old + amount)]).await
        })
        .await
    };
    let (one, two) = tokio::join!(add(1), add(10));
    one.unwrap();
    two.unwrap();
    assert_eq!(balance(&pool, 1).await, 111);
    assert_eq!(attempts.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_deadlock_is_run_again() {
    let database = accounts().await;
    let admin = database.superuser().await;
    admin.batch_execute(&format!("alter database {} set deadlock_timeout = '50ms'", database.name())).await.unwrap();
    let pool = pool(&database);
    let attempts = AtomicUsize::new(0);
    let both = Arc::new(Barrier::new(2));
    let transfer = async |from: i32, to: i32| {
        pool.transaction("transfer", async |transaction| {
            let first = attempts.fetch_add(1, Ordering::Relaxed) < 2;
            transaction.execute(&ADD, &[&from, &-5_i64]).await?;
            if first {
                both.wait().await;
            }
            transaction.execute(&ADD, &[&to, &5_i64]).await
        })
        .await
    };
    let (one, two) = tokio::join!(transfer(1, 2), transfer(2, 1));
    one.unwrap();
    two.unwrap();
    assert_eq!((balance(&pool, 1).await, balance(&pool, 2).await), (100, 100));
    assert_eq!(attempts.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn conflicts_are_run_again_five_times_at_most() {
    static CONFLICT: Query = Query { name: "conflict", sql: "-- conflict\nselect conflict()", types: &[] };
    let database = accounts().await;
    database
        .superuser()
        .await
        .batch_execute(
            "create function conflict() returns void language plpgsql as $$ begin raise sqlstate '40001'; end $$",
        )
        .await
        .unwrap();
    let pool = pool(&database);
    let attempts = AtomicUsize::new(0);
    let result: Result<(), Error> = pool
        .transaction("conflict", async |transaction| {
            attempts.fetch_add(1, Ordering::Relaxed);
            transaction.execute(&CONFLICT, &[]).await.map(drop)
        })
        .await;
    let error = result.unwrap_err();
    assert_eq!(error.sqlstate(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(attempts.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_refusal_at_the_commit_is_the_callers_and_certain() {
    static ORPHAN: Query = Query { name: "orphan", sql: "-- orphan\ninsert into later values (3)", types: &[] };
    let database = accounts().await;
    let pool = pool(&database);
    let result: Result<u64, Error> =
        pool.transaction("orphan", async |transaction| transaction.execute(&ORPHAN, &[]).await).await;
    let error = result.unwrap_err();
    assert_eq!(error.sqlstate(), Some(&SqlState::FOREIGN_KEY_VIOLATION));
    assert_eq!(error.class(), Class::Permanent);
    pool.query(&ONE, &[]).await.unwrap();
}

#[tokio::test]
async fn a_connection_lost_in_the_commit_leaves_the_outcome_unknown() {
    let database = accounts().await;
    let proxy = parlant_test_support::ChaosProxy::start(database.address()).await;
    let url = database.superuser_url().replace(&database.address().to_string(), &proxy.address().to_string());
    let mut config = config(url);
    config.command_timeout = Duration::from_millis(500);
    let pool = Pool::new(&config).unwrap();
    let attempts = AtomicUsize::new(0);
    let result: Result<u64, Error> = pool
        .transaction("add", async |transaction| {
            attempts.fetch_add(1, Ordering::Relaxed);
            let done = transaction.execute(&ADD, &[&1, &1_i64]).await;
            proxy.hang();
            done
        })
        .await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::CommitUnknown(_)), "{error:?}");
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_read_only_transaction_refuses_to_write_and_spoils_no_connection() {
    let database = accounts().await;
    let pool = pool(&database);
    let options = TransactionOptions { read_only: true, ..TransactionOptions::default() };
    let before: i32 = pool.query_one(&PID, &[]).await.unwrap().get(0);
    let result: Result<u64, Error> = pool
        .transaction_with("read", options, async |transaction| transaction.execute(&ADD, &[&1, &1_i64]).await)
        .await;
    let error = result.unwrap_err();
    assert_eq!(error.sqlstate(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    let after: i32 = pool.query_one(&PID, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}

/// An error type of a caller's own.
#[derive(Debug)]
enum Domain {
    TooPoor,
    Database(Error),
}

impl From<Error> for Domain {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

#[tokio::test]
async fn callers_bring_their_own_errors_and_may_spawn() {
    let database = accounts().await;
    let pool = pool(&database);
    let name = String::from("borrowed by the closure");
    let task = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.transaction("poor", async |transaction| {
                let balance: i64 = transaction.query_one(&READ, &[&1]).await?.get(0);
                if balance < 1000 && !name.is_empty() {
                    return Err(Domain::TooPoor);
                }
                transaction.execute(&WRITE, &[&1, &0_i64]).await?;
                Ok(())
            })
            .await
        }
    });
    let result = task.await.unwrap();
    assert!(matches!(result, Err(Domain::TooPoor)), "{result:?}");
    pool.close().await;
    let result: Result<(), Domain> = pool.transaction("closed", async |_| Ok(())).await;
    assert!(matches!(result, Err(Domain::Database(Error::Closed))), "{result:?}");
}

#[tokio::test]
async fn a_transaction_without_prepared_statements_still_has_the_servers_timeout() {
    let database = accounts().await;
    let mut config = config(database.superuser_url());
    config.prepared_statements = false;
    config.command_timeout = Duration::from_millis(200);
    let pool = Pool::new(&config).unwrap();
    let before: i32 = pool.query_one(&PID, &[]).await.unwrap().get(0);
    let result: Result<(), Error> =
        pool.transaction("sleep", async |transaction| transaction.query(&SLEEP, &[&60_f64]).await.map(drop)).await;
    assert!(matches!(result, Err(Error::StatementTimeout)), "{result:?}");
    // The server ended it, so the connection could stay.
    until("the same connection", async || {
        let after: i32 = pool.query_one(&PID, &[]).await.unwrap().get(0);
        before == after
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_was_not_waited_for_is_not_committed() {
    let database = accounts().await;
    let pool = pool(&database);
    let result: Result<(), Error> = pool
        .transaction("impatient", async |transaction| {
            transaction.execute(&ADD, &[&1, &1_i64]).await?;
            let sleep = transaction.query(&SLEEP, &[&60_f64]);
            let _ = tokio::time::timeout(Duration::from_millis(100), sleep).await;
            Ok(())
        })
        .await;
    assert!(matches!(result, Err(Error::Aborted)), "{result:?}");
    assert_eq!(balance(&pool, 1).await, 100);
}

#[tokio::test]
async fn a_missing_row_does_not_spoil_a_transaction() {
    let database = accounts().await;
    let pool = pool(&database);
    pool.transaction("missing", async |transaction| {
        transaction.execute(&ADD, &[&1, &1_i64]).await?;
        let missing = transaction.query_one(&READ, &[&77]).await.unwrap_err();
        assert!(matches!(missing, Error::Rows { .. }), "{missing:?}");
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
    assert_eq!(balance(&pool, 1).await, 101);
}

#[tokio::test]
async fn a_transaction_that_was_kept_past_its_end_does_nothing() {
    let database = accounts().await;
    let pool = pool(&database);
    let kept = pool.transaction("keep", async |transaction| Ok::<_, Error>(transaction)).await.unwrap();
    let error = kept.execute(&ADD, &[&1, &1_i64]).await.unwrap_err();
    assert!(matches!(error, Error::Aborted), "{error:?}");
    assert_eq!(balance(&pool, 1).await, 100);
}
