use parlant_schema::{ApplyOptions, Migrations, State};
use parlant_test_support::empty_database;

use crate::support::{column, config};

#[test]
fn landed_files_never_change() {
    let landed = include_str!("../../../../migrations/checksums");
    let embedded = Migrations::embedded();
    let lines: Vec<_> = embedded.checksums().map(|(name, checksum)| format!("{name} {checksum}")).collect();
    let now = lines.join("\n") + "\n";
    assert!(
        landed == now,
        "a landed file was changed: bring it back; or a new one lacks its line in migrations/checksums, which is \
         now\n{landed}and would be\n{now}"
    );
}

#[tokio::test]
async fn the_expected_tables_are_those_that_apply_makes() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let before = parlant_schema::status(&client).await.unwrap();
    assert_eq!(before.state, State::Pending);
    assert!(before.tables.iter().all(|table| !table.exists), "{before:?}");

    parlant_schema::apply(&config(&database), &ApplyOptions::default()).await.unwrap();

    let after = parlant_schema::verify(&client).await.unwrap();
    assert!(after.tables.iter().all(|table| table.exists), "{after:?}");
    let expected: Vec<_> = after.tables.iter().map(|table| table.name.clone()).collect();
    let sql =
        "select relname::text from pg_class where relkind in ('r', 'p') and relname like 'parlant\\_%' order by 1";
    assert_eq!(expected, column(&client, sql).await);
}
