//! What several of these tests need.

use std::time::Duration;

use parlant_db_pool::Config;
use parlant_schema::{ApplyOptions, Error, Migrations, Report};
use parlant_test_support::TestDatabase;
use tokio_postgres::Client;

/// As the superuser, under a name of its own.
pub(crate) fn config(database: &TestDatabase) -> Config {
    Config { application_name: "a-migration".to_owned(), ..Config::new(database.superuser_url()) }
}

/// Connects under a name that a message about a lock has to give.
pub(crate) async fn session(database: &TestDatabase, name: &str) -> Client {
    let client = database.superuser().await;
    client.batch_execute(&format!("set application_name to '{name}'")).await.unwrap();
    client
}

pub(crate) fn set<const N: usize>(files: [(&str, &str); N]) -> Migrations {
    Migrations::from_pairs(files).unwrap()
}

pub(crate) async fn apply(database: &TestDatabase, migrations: &Migrations) -> Result<Report, Error> {
    migrations.apply(&config(database), &quick()).await
}

/// Options for tests: what takes longer than this has failed.
pub(crate) fn quick() -> ApplyOptions {
    ApplyOptions {
        lock_wait: Duration::from_mins(1),
        lock_timeout: Duration::from_millis(100),
        patience: Duration::from_mins(1),
    }
}

/// The first column of a query's rows, as text.
pub(crate) async fn column(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Waits until a query that returns a boolean says so.
pub(crate) async fn until(client: &Client, sql: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(tokio::time::Instant::now() < deadline, "it never came: {sql}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The names in the history, oldest first.
pub(crate) async fn history(client: &Client) -> Vec<String> {
    column(client, "select name::text from public.parlant_migrations order by version").await
}

/// A run with a runtime of its own, so that it can die as a process does: all at once.
pub(crate) struct Doomed(tokio::runtime::Runtime);

impl Doomed {
    /// Starts to apply.
    pub(crate) fn apply(database: &TestDatabase, migrations: Migrations) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = config(database);
        runtime.spawn(async move { migrations.apply(&config, &quick()).await });
        Self(runtime)
    }

    /// As after `kill -9`, the socket closes and nobody says goodbye.
    pub(crate) fn kill(self) {
        self.0.shutdown_background();
    }
}
