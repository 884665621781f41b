//! A database that is away or hangs is "try again later" for every operation, soon enough, and never anything else.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use parlant_conversations::{AgentPatch, Class, Conversations, Error, Limits, ListMessages, NewSession};
use parlant_db_pool::Pool;
use parlant_test_support::ChaosProxy;
use uuid::Uuid;

use crate::house::{AGENTS, SESSIONS, admin, config, new_agent, says};

/// The operation without its result. That it can be boxed shows that it can be spawned.
fn done<'a, T>(operation: impl Future<Output = Result<T, Error>> + Send + 'a) -> BoxFuture<'a, Result<(), Error>> {
    operation.map(|result| result.map(drop)).boxed()
}

/// Every operation once, all at the same time.
async fn operations(conversations: &Conversations) -> Vec<Result<(), Error>> {
    let actor = &admin("ada", "w");
    let id = Uuid::now_v7();
    let start = NewSession { agent_id: id, workspace_id: "w".to_owned(), context: None };
    let messages = ListMessages { offset: 0, limit: 1 };
    join_all([
        done(conversations.create_agent(actor, new_agent("w", "Help"))),
        done(conversations.list_agents(actor, AGENTS)),
        done(conversations.agent(actor, id)),
        done(conversations.update_agent(actor, id, AgentPatch::default(), None)),
        done(conversations.archive_agent(actor, id)),
        done(conversations.start_session(actor, start)),
        done(conversations.list_sessions(actor, SESSIONS)),
        done(conversations.session(actor, id)),
        done(conversations.end_session(actor, id)),
        done(conversations.post_message(actor, id, says("Hello"))),
        done(conversations.list_messages(actor, id, messages)),
    ])
    .await
}

fn classes(results: &[Result<(), Error>]) -> Vec<Option<Class>> {
    let errors = results.iter().map(|result| result.as_ref().err());
    errors.map(|error| error.map(Error::class)).collect()
}

#[tokio::test]
async fn a_database_that_hangs_or_is_away_is_unavailable_for_every_operation() {
    let database = parlant_test_support::database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let mut config = config(database.url_through(proxy.address()));
    config.command_timeout = Duration::from_secs(1);
    config.connection_timeout = Duration::from_secs(2);
    config.pool_timeout = Duration::from_secs(3);
    let pool = Pool::new(&config).unwrap();
    let conversations = Conversations::new(pool, Limits::default());
    let well = classes(&operations(&conversations).await);
    assert!(!well.contains(&Some(Class::Unavailable)), "{well:?}");

    proxy.hang();
    let start = Instant::now();
    let hanging = operations(&conversations).await;
    assert_eq!(classes(&hanging), [Some(Class::Unavailable); 11], "{hanging:?}");
    let waited = start.elapsed();
    // A connection and a statement, and then a second connection for those that certainly did not run.
    assert!(waited < Duration::from_secs(15), "{waited:?}");

    proxy.refuse().await;
    proxy.cut();
    let away = operations(&conversations).await;
    assert_eq!(classes(&away), [Some(Class::Unavailable); 11], "{away:?}");

    proxy.restore().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let again = classes(&operations(&conversations).await);
        if !again.contains(&Some(Class::Unavailable)) {
            break;
        }
        assert!(Instant::now() < deadline, "{again:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_error_shows_nothing_of_the_database() {
    let database = parlant_test_support::database().await;
    let pool = Pool::new(&config(database.url())).unwrap();
    let conversations = Conversations::new(pool, Limits::default());
    let superuser = database.superuser().await;
    superuser.batch_execute("alter table parlant_agent rename column model to secret_detail").await.unwrap();
    let error = conversations.agent(&admin("ada", "w"), Uuid::now_v7()).await.unwrap_err();
    assert_eq!(error.class(), Class::Internal);
    let text = error.to_string();
    for detail in ["parlant_agent", "column", "model", "127.0.0.1"] {
        assert!(!text.contains(detail), "{text}");
    }
}

#[tokio::test]
async fn operations_work_without_prepared_statements() {
    let database = parlant_test_support::database().await;
    let mut config = config(database.url());
    config.prepared_statements = false;
    let pool = Pool::new(&config).unwrap();
    let conversations = Conversations::new(pool, Limits::default());
    let results = operations(&conversations).await;
    for result in &results {
        let fine = result.as_ref().is_ok() || result.as_ref().is_err_and(|error| error.class() == Class::NotFound);
        assert!(fine, "{result:?}");
    }
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
}
