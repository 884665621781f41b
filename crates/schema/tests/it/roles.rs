//! `deploy/sql/roles.sql`: what each role may do, and may not.

use parlant_db_pool::Config;
use parlant_test_support::{TestDatabase, database, empty_database};
use tokio_postgres::Client;

use crate::support::{column, set};

const ROLES: &str = include_str!("../../../../deploy/sql/roles.sql");

async fn app(database: &TestDatabase) -> Client {
    parlant_db_pool::connect(&Config::new(database.url())).await.unwrap()
}

/// The SQLSTATE of a refusal.
async fn refused(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.code().unwrap_or_else(|| panic!("{sql}: {error}")).code().to_owned()
}

#[tokio::test]
async fn the_server_s_role_can_do_its_work_and_nothing_else() {
    let database = database().await;
    let client = app(&database).await;
    parlant_schema::verify(&client).await.unwrap();
    client
        .batch_execute(
            "select id, token, user_id, expires_at, active_organization_id, impersonated_by from session;
             select id, name, email, email_verified, image, banned, ban_expires from \"user\";
             select id, name, organization_id, archived_at from workspace;
             select id, user_id, entity_type, entity_id, permission_type from permissions;
             select id, user_id, organization_id, role from member;
             select count(*) from parlant_agent",
        )
        .await
        .unwrap();
    for sql in [
        "create table parlant_mine (x int)",
        "create schema mine",
        "create index on parlant_agent (name)",
        "drop table parlant_agent",
        "alter table parlant_agent add column x int",
        "delete from parlant_agent",
        "truncate parlant_agent cascade",
        "insert into parlant_migrations values (99, 'x', 'x', '1')",
        "update parlant_migrations set checksum = '1'",
        "delete from parlant_migrations",
        "update session set token = token",
        "insert into member (id) values ('x')",
        "delete from \"user\"",
        "update permissions set permission_type = 'admin'",
        "select ip_address from session",
        "select stripe_customer_id from \"user\"",
        "select from organization",
        "set role parlant_migrator",
    ] {
        assert_eq!(refused(&client, sql).await, "42501", "{sql}");
    }
}

#[tokio::test]
async fn the_backup_s_role_reads_everything_and_changes_nothing() {
    let database = database().await;
    let client = database.superuser().await;
    client.batch_execute("create table public.later (x int); set role parlant_backup").await.unwrap();
    let tables = column(
        &client,
        "select format('%I.%I', schemaname, tablename) from pg_tables
         where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .await;
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        client
            .batch_execute(&format!("begin; lock table {table} in access share mode; select from {table}; commit"))
            .await
            .unwrap();
        assert_eq!(refused(&client, &format!("delete from {table}")).await, "42501", "{table}");
    }
    assert_eq!(refused(&client, "create table public.mine (x int)").await, "42501");
}

#[tokio::test]
async fn the_server_s_role_has_time_limits_of_its_own() {
    let database = database().await;
    let client = database.superuser().await;
    let settings = column(
        &client,
        "select unnest(setconfig) from pg_db_role_setting where setrole = 'parlant_app'::regrole order by 1",
    )
    .await;
    assert_eq!(settings, ["idle_in_transaction_session_timeout=60s", "lock_timeout=10s", "statement_timeout=30s"]);
}

#[tokio::test]
async fn tables_of_later_migrations_are_open_to_the_server_at_once() {
    let database = database().await;
    let mut migrator = Config::new(database.migrator_url());
    "a-migration".clone_into(&mut migrator.application_name);
    // Another history would be a divergence, so this one makes the table by hand, as the migrator would.
    let client = parlant_db_pool::connect(&migrator).await.unwrap();
    client.batch_execute("create table public.parlant_later (x int)").await.unwrap();
    let app = app(&database).await;
    app.batch_execute("insert into parlant_later values (1); update parlant_later set x = 2").await.unwrap();
    assert_eq!(refused(&app, "delete from parlant_later").await, "42501");
}

#[tokio::test]
async fn apply_as_the_migrator_works_in_an_empty_database_and_closes_the_history() {
    let database = empty_database().await;
    database.superuser().await.batch_execute(ROLES).await.unwrap();
    let files = set([("V1__a", "create table parlant_a (x int)")]);
    let migrator = Config::new(database.migrator_url());
    files.apply(&migrator, &crate::support::quick()).await.unwrap();
    let app = app(&database).await;
    files.verify(&app).await.unwrap();
    app.batch_execute("insert into parlant_a values (1)").await.unwrap();
    for sql in ["insert into parlant_migrations values (9, 'x', 'x', '1')", "update parlant_migrations set name = 'x'"]
    {
        assert_eq!(refused(&app, sql).await, "42501", "{sql}");
    }
}

#[tokio::test]
async fn the_script_may_be_run_again_and_takes_back_what_was_too_much() {
    let database = database().await;
    let client = database.superuser().await;
    client
        .batch_execute(
            "grant all on session, parlant_agent, parlant_migrations to parlant_app;
             create table parlant_stray (x int)",
        )
        .await
        .unwrap();
    for _ in 0..2 {
        client.batch_execute(ROLES).await.unwrap();
    }
    let app = app(&database).await;
    app.batch_execute("insert into parlant_stray values (1); select id from session").await.unwrap();
    for sql in
        ["delete from parlant_agent", "select ip_address from session", "update parlant_migrations set name = 'x'"]
    {
        assert_eq!(refused(&app, sql).await, "42501", "{sql}");
    }
    let owners = column(
        &client,
        "select distinct relowner::regrole::text from pg_class where relkind = 'r' and relname like 'parlant\\_%'",
    )
    .await;
    assert_eq!(owners, ["parlant_migrator"]);
}

#[tokio::test]
async fn a_public_schema_that_everybody_may_create_in_is_closed_without_locking_its_users_out() {
    let database = database().await;
    let client = database.superuser().await;
    client.batch_execute("grant create on schema public to public").await.unwrap();
    client.batch_execute(ROLES).await.unwrap();
    assert_eq!(refused(&app(&database).await, "create table public.mine (x int)").await, "42501");
    client.batch_execute("set role sim; create table public.sim_s_next (x int)").await.unwrap();
}
