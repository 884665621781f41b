use parlant_test_support::{database, empty_database};
use tokio_postgres::{Client, NoTls, error::SqlState};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::Config::connect(&url.parse().unwrap(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn every_call_gives_a_database_of_its_own() {
    let (one, two) = tokio::join!(database(), database());
    assert_ne!(one.name(), two.name());
    let ada = one.sim().await.user("Ada").await;
    let found = two.superuser().await.query(r#"select id from "user" where id = $1"#, &[&ada]).await;
    assert!(found.unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_one_has_no_tables() {
    let database = empty_database().await;
    let tables = "select relname from pg_class where relnamespace = 'public'::regnamespace";
    assert!(database.superuser().await.query(tables, &[]).await.unwrap().is_empty());
    connect(&database.migrator_url()).await.batch_execute("create table mine ()").await.unwrap();
}

#[tokio::test]
async fn the_server_s_role_can_do_what_a_deployment_lets_it_and_no_more() {
    let database = database().await;
    let app = connect(&database.url()).await;
    app.batch_execute("select id from parlant_agent; select id, name from workspace").await.unwrap();
    for forbidden in ["update workspace set name = 'mine'", "create table mine ()", "delete from parlant_agent"] {
        let error = app.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{forbidden}");
    }
    let owner = "select tableowner::text from pg_tables where tablename = $1";
    for (table, role) in [("session", "sim"), ("parlant_agent", "parlant_migrator")] {
        let row = app.query_one(owner, &[&table]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), role);
    }
}

#[test]
fn tests_on_runtimes_of_their_own_share_the_server() {
    let ports = [(); 3].map(|()| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { database().await.address().port() })
    });
    assert_eq!(ports, [ports[0]; 3]);
}
