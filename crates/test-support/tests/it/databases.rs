use parlant_test_support::{database, empty_database};

#[tokio::test]
async fn every_call_gives_a_database_of_its_own() {
    let (one, two) = tokio::join!(database(), database());
    assert_ne!(one.name(), two.name());
    let ada = one.sim().await.user("Ada").await;
    let found = two
        .superuser()
        .await
        .query("select id from \"user\" where id = $1", &[&ada])
        .await;
    assert!(found.unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_one_has_no_tables() {
    let database = empty_database().await;
    let tables = "select relname from pg_class where relnamespace = 'public'::regnamespace";
    assert!(
        database
            .superuser()
            .await
            .query(tables, &[])
            .await
            .unwrap()
            .is_empty()
    );
}
