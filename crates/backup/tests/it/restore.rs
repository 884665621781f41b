use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parlant_backup_core::{Error, Existing, Reporter, trial_server, verify};
use tokio_postgres::Client;

use crate::world::{World, into};

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

async fn connect(world: &World, database: &str) -> Client {
    let url = world.database.superuser_url().replace(&format!("/{}", world.database.name()), &format!("/{database}"));
    parlant_db_pool::connect(&parlant_db_pool::Config::new(url)).await.unwrap()
}

const CONTENT: &str = "select concat_ws(' ', (select count(*) from item), (select count(*) from cross_items),
    (select count(*) from per_kind), (select count(*) from part), (select count(*) from pg_indexes where schemaname = 'public'),
    (select count(*) from pg_constraint where contype in ('f', 'p', 'u')),
    (select count(*) from pg_stats where tablename = 'item') > 0)";

#[tokio::test]
async fn a_restore_into_a_new_database_brings_everything_back() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let name = format!("{}_new", world.database.name());
    let restored = world.restore(manifest.name, &into(&name, Existing::Refuse)).await.unwrap();
    assert_eq!((restored.kept, restored.tables), (None, manifest.tables.len()));
    world.run("analyze").await;
    assert_eq!(
        text(&connect(&world, &name).await, CONTENT).await,
        text(&world.database.superuser().await, CONTENT).await
    );
}

#[tokio::test]
async fn a_database_with_something_in_it_is_left_alone_unless_told_otherwise() {
    let world = World::new().await;
    let manifest = world.backup().await;
    world.run("create table newer ()").await;
    let own = world.database.name().to_owned();
    let error = world.restore(manifest.name, &into(&own, Existing::Refuse)).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(reason) if reason.contains("something in it")), "{error}");

    let restored = world.restore(manifest.name, &into(&own, Existing::Replace)).await.unwrap();
    assert_eq!(restored.kept, None);
    assert_eq!(text(&connect(&world, &own).await, "select to_regclass('newer')::text is null || ''").await, "true");
}

#[tokio::test]
async fn our_tables_alone_never_take_the_place_of_a_database_that_has_more() {
    let world = World::new().await;
    let manifest = world.backup().await;
    world.edit(manifest.name, |json| json["scope"]["only_parlant"] = true.into());
    let error = world.restore(manifest.name, &into(world.database.name(), Existing::Swap)).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(reason) if reason.contains("has others")), "{error}");
}

#[tokio::test]
async fn an_empty_database_is_replaced_without_a_word() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let name = format!("{}_empty", world.database.name());
    world.run(&format!("create database {name} template template0")).await;
    world.restore(manifest.name, &into(&name, Existing::Refuse)).await.unwrap();
    assert!(text(&connect(&world, &name).await, CONTENT).await.starts_with("3000 "));
}

#[tokio::test]
async fn a_swap_keeps_the_old_database_and_what_belongs_to_the_name_and_can_be_undone() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let own = world.database.name().to_owned();
    world
        .run(&format!(
            "create table newer (); alter database {own} owner to parlant_migrator; revoke connect on database {own} from public;
             grant connect on database {own} to parlant_app with grant option; alter database {own} set work_mem to '7MB';
             alter database {own} set search_path to '$user', public, \"Odd\"; alter role parlant_app in database {own} set lock_timeout to '3s'"
        ))
        .await;
    let properties = format!(
        "select concat_ws(' ', pg_get_userbyid(datdba), (select string_agg(acl::text, ',' order by acl::text) from unnest(datacl) acl),
           (select string_agg(setrole::regrole || ' ' || setconfig::text, ',' order by setrole) from pg_db_role_setting where setdatabase = d.oid))
         from pg_database d where datname = '{own}'"
    );
    let admin = connect(&world, "postgres").await;
    let before = text(&admin, &properties).await;

    let restored = world.restore(manifest.name, &into(&own, Existing::Swap)).await.unwrap();
    let kept = restored.kept.unwrap();
    assert!(kept.starts_with(&format!("{own}_before_")), "{kept}");
    assert_eq!(text(&admin, &properties).await, before);
    let has_newer = "select (to_regclass('public.newer') is not null)::text";
    assert_eq!(text(&connect(&world, &own).await, has_newer).await, "false");
    assert_eq!(text(&connect(&world, &kept).await, has_newer).await, "true");

    for statement in &restored.undo {
        // Those who looked are still leaving.
        let mut tries = 0;
        while let Err(error) = admin.batch_execute(statement).await {
            tries += 1;
            assert!(tries < 5, "{error:?}");
        }
    }
    assert_eq!(text(&connect(&world, &own).await, has_newer).await, "true");
}

#[tokio::test]
async fn a_database_in_use_is_swapped_by_force_only_and_nothing_restored_is_lost() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let own = world.database.name().to_owned();
    let user = world.database.superuser().await;
    let error = world.restore(manifest.name, &into(&own, Existing::Swap)).await.unwrap_err().to_string();
    assert!(error.contains("somebody is connected") && error.contains("--force"), "{error}");
    let restored = error.split("restored as ").nth(1).unwrap().split('.').next().unwrap();
    assert!(text(&connect(&world, restored).await, CONTENT).await.starts_with("3000 "));
    assert_eq!(text(&user, "select 'still here'").await, "still here");

    let forced = parlant_backup_core::RestoreRequest { force: true, ..into(&own, Existing::Swap) };
    assert!(world.restore(manifest.name, &forced).await.unwrap().kept.is_some());
    assert!(user.query_one("select 1", &[]).await.is_err());
}

#[tokio::test]
async fn a_damaged_backup_restores_to_nothing() {
    let world = World::new().await;
    let manifest = world.backup().await;
    world.edit(manifest.name, |json| json["tables"]["public.kind"]["hash"] = "7".into());
    let name = format!("{}_damaged", world.database.name());
    let error = world.restore(manifest.name, &into(&name, Existing::Refuse)).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let admin = connect(&world, "postgres").await;
    let there = format!("select count(*)::text from pg_database where datname = '{name}'");
    assert_eq!(text(&admin, &there).await, "0");
}

/// The whole point of one snapshot for the dump and the manifest.
#[tokio::test]
async fn a_restore_is_the_manifest_exactly_while_somebody_writes_all_the_time() {
    let world = World::new().await;
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (url, stop, written) = (world.url(), Arc::clone(&stop), Arc::clone(&written));
            tokio::spawn(async move {
                let client = parlant_db_pool::connect(&url).await.unwrap();
                let mut number = writer * 1_000_000;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let sql = format!(
                        "begin; insert into part values ({number} % 1000, 'new');
                         update kind set name = 'renamed {number}' where id = {number} % 20 + 1;
                         delete from item where id = (select id from item where mood = 'calm' order by random() limit 1);
                         insert into item (kind_id, mood) values (1, 'cross'); commit"
                    );
                    if client.batch_execute(&sql).await.is_err() {
                        // Two writers met in one row.
                        let _ = client.batch_execute("rollback").await;
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let before = written.load(Ordering::Relaxed);
        let manifest = world.backup().await;
        assert!(written.load(Ordering::Relaxed) > before);
        world.verify(manifest.name).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_private_server_verifies_without_any_other() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let server = trial_server(&world.config).await.unwrap();
    let evidence =
        verify(&world.config, &world.store, manifest.name, Some(&server), &Reporter::default(), std::future::pending())
            .await
            .unwrap();
    assert!(evidence.versions.private);
    server.stop().await;
}
