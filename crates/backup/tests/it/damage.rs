use std::fs;

use parlant_backup_core::{Damage, Difference, Error, Evidence, Level, Manifest, State, list};
use sha2::{Digest as _, Sha256};

use crate::world::World;

fn damage(outcome: Result<Evidence, Error>) -> Damage {
    match outcome {
        Err(Error::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_good_backup_passes_both_levels_and_only_a_restore_is_evidence() {
    let world = World::new().await;
    let manifest = world.backup().await;
    assert!(manifest.tables.contains_key(r#"public."Odd ""table""#), "{:?}", manifest.tables.keys());
    assert!(manifest.tables.contains_key("pg_largeobject"));

    assert_eq!(world.read(manifest.name).await.unwrap().level, Level::Read);
    assert_eq!(list(&world.store).await.unwrap()[0].state, State::Unverified);

    let evidence = world.verify(manifest.name).await.unwrap();
    assert_eq!(evidence.tables, manifest.tables.len());
    assert_eq!(evidence.rows, 20 + 3000 + 5 + 1000 + 1);
    assert_eq!(evidence.archive_sha256, manifest.archive.sha256);
    assert!(matches!(list(&world.store).await.unwrap()[0].state, State::Verified { .. }));
}

#[tokio::test]
async fn an_archive_that_is_cut_off_anywhere_is_found_out() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let path = world.archive(&manifest);
    let whole = fs::read(&path).unwrap();
    for cut in 0..20 {
        let length = whole.len() * cut / 20;
        fs::write(&path, &whole[..length]).unwrap();
        let expected = Damage::Size { expected: whole.len() as u64, found: length as u64 };
        assert_eq!(damage(world.read(manifest.name).await), expected);
        assert!(matches!(&list(&world.store).await.unwrap()[0].state, State::Incomplete { .. }));
    }
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(matches!(damage(world.read(manifest.name).await), Damage::Size { .. }));
    fs::write(&path, &whole).unwrap();
    world.read(manifest.name).await.unwrap();
}

#[tokio::test]
async fn one_flipped_bit_anywhere_is_found_out() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let path = world.archive(&manifest);
    let mut bytes = fs::read(&path).unwrap();
    for _ in 0..200 {
        let (place, bit) = (rand::random_range(0..bytes.len()), rand::random_range(0..8));
        bytes[place] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(damage(world.read(manifest.name).await), Damage::Digest, "bit {bit} of byte {place}");
        bytes[place] ^= 1 << bit;
    }
    assert!(matches!(&list(&world.store).await.unwrap()[0].state, State::Damaged { .. }));
}

#[tokio::test]
async fn damage_takes_the_place_of_older_evidence_and_a_repair_that_of_the_damage() {
    let world = World::new().await;
    let manifest = world.backup().await;
    world.verify(manifest.name).await.unwrap();
    let path = world.archive(&manifest);
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&path, flipped).unwrap();
    assert_eq!(damage(world.verify(manifest.name).await), Damage::Digest);
    assert!(matches!(&list(&world.store).await.unwrap()[0].state, State::Damaged { .. }));
    fs::write(&path, whole).unwrap();
    world.verify(manifest.name).await.unwrap();
    assert!(matches!(list(&world.store).await.unwrap()[0].state, State::Verified { .. }));
}

#[tokio::test]
async fn without_a_manifest_or_an_archive_there_is_no_backup() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let (archive, description) = (world.archive(&manifest), world.config.dir.join(manifest.name.manifest_file()));
    let (kept, text) = (fs::read(&archive).unwrap(), fs::read(&description).unwrap());

    fs::remove_file(&archive).unwrap();
    assert_eq!(damage(world.read(manifest.name).await), Damage::Missing);
    assert!(
        matches!(&list(&world.store).await.unwrap()[0].state, State::Incomplete { reason } if reason.contains("archive"))
    );

    fs::write(&archive, kept).unwrap();
    fs::remove_file(&description).unwrap();
    let error = world.read(manifest.name).await.unwrap_err();
    assert!(matches!(&error, Error::Manifest { reason, .. } if reason.contains("no such backup")), "{error}");
    assert!(
        matches!(&list(&world.store).await.unwrap()[0].state, State::Incomplete { reason } if reason.contains("manifest"))
    );

    fs::write(&description, &text[..text.len() / 2]).unwrap();
    assert!(matches!(world.read(manifest.name).await.unwrap_err(), Error::Manifest { .. }));
}

#[tokio::test]
async fn exchanged_files_of_two_backups_are_found_out() {
    let world = World::new().await;
    let first = world.backup().await;
    world.run("insert into kind values (21, 'one more')").await;
    let second = world.backup().await;
    let exchange = |one: &std::path::Path, two: &std::path::Path| {
        let kept = fs::read(one).unwrap();
        fs::copy(two, one).unwrap();
        fs::write(two, kept).unwrap();
    };

    exchange(&world.archive(&first), &world.archive(&second));
    for name in [first.name, second.name] {
        let found = damage(world.read(name).await);
        assert!(matches!(found, Damage::Size { .. } | Damage::Digest), "{found}");
    }
    let description = |manifest: &Manifest| world.config.dir.join(manifest.name.manifest_file());
    exchange(&description(&first), &description(&second));
    let error = world.read(first.name).await.unwrap_err();
    assert!(matches!(&error, Error::Manifest { reason, .. } if reason.contains("belongs to")), "{error}");
}

/// Gives `manifest` the archive of another, with digest and sizes that fit: what only the comparison can find.
fn forge(world: &World, manifest: &Manifest, other: &Manifest) {
    let bytes = fs::read(world.archive(other)).unwrap();
    fs::write(world.archive(manifest), &bytes).unwrap();
    let digest = Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    world.edit(manifest.name, |json| {
        json["archive"]["sha256"] = digest.into();
        json["archive"]["size_bytes"] = bytes.len().into();
        json["archive"]["plain_size_bytes"] = other.archive.plain_size_bytes.into();
    });
}

#[tokio::test]
async fn a_table_or_a_row_that_is_not_in_the_dump_is_named() {
    let world = World::new().await;
    let whole = world.backup().await;
    world
        .run("delete from item where id = 7; update kind set name = 'changed' where id = 3; drop table part_high")
        .await;
    world.run("create table extra ()").await;
    let lacking = world.backup().await;
    forge(&world, &whole, &lacking);

    world.read(whole.name).await.unwrap();
    let Damage::Content { differences } = damage(world.verify(whole.name).await) else { panic!() };
    let table = |name: &str| format!("public.{name}");
    assert_eq!(
        differences,
        [
            Difference::Rows { table: table("item"), expected: 3000, found: 2999 },
            Difference::Content { table: table("kind") },
            Difference::Missing { table: table("part_high") },
            Difference::Unexpected { table: table("extra") },
        ]
    );
}

#[tokio::test]
async fn an_edited_manifest_does_not_fit_its_dump_or_its_evidence() {
    let world = World::new().await;
    let manifest = world.backup().await;
    world.verify(manifest.name).await.unwrap();
    world.edit(manifest.name, |json| json["tables"]["public.kind"]["rows"] = 19.into());
    assert_eq!(list(&world.store).await.unwrap()[0].state, State::Unverified);
    let found = damage(world.verify(manifest.name).await);
    assert_eq!(
        found.to_string(),
        "the restored tables are not those of the manifest: public.kind has 20 rows instead of 19"
    );
}

#[tokio::test]
async fn a_dump_that_restores_with_errors_is_found_out() {
    let world = World::new().await;
    // Restores run with an empty search_path: the constraint cannot find its table any more.
    world
        .run(
            "create function known(int) returns bool language sql as 'select exists (select from kind where id = $1)';
             create table checked (kind_id int check (known(kind_id))); insert into checked values (1)",
        )
        .await;
    let manifest = world.backup().await;
    world.read(manifest.name).await.unwrap();
    let found = damage(world.verify(manifest.name).await);
    assert!(matches!(&found, Damage::Restore { reason } if reason.contains("kind")), "{found}");
}

#[tokio::test]
async fn what_is_no_dump_is_found_out_by_pg_restore() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let text = b"PGDMP and nothing more";
    let bytes = zstd::encode_all(&text[..], 3).unwrap();
    fs::write(world.archive(&manifest), &bytes).unwrap();
    let digest = Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    world.edit(manifest.name, |json| {
        json["archive"]["sha256"] = digest.into();
        json["archive"]["size_bytes"] = bytes.len().into();
        json["archive"]["plain_size_bytes"] = text.len().into();
    });
    let found = damage(world.read(manifest.name).await);
    assert!(matches!(&found, Damage::Structure { .. }), "{found}");
    world.edit(manifest.name, |json| json["archive"]["plain_size_bytes"] = 7.into());
    assert_eq!(damage(world.read(manifest.name).await), Damage::PlainSize { expected: 7, found: text.len() as u64 });
}

#[tokio::test]
async fn a_server_that_is_gone_says_nothing_about_the_backup() {
    let world = World::new().await;
    let manifest = world.backup().await;
    let before = list(&world.store).await.unwrap()[0].state.clone();
    let mut old = manifest.clone();
    "99.1".clone_into(&mut old.versions.server);
    world.edit(manifest.name, |json| json["versions"]["server"] = "99.1".into());
    let error = world.verify(manifest.name).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(reason) if reason.contains("99")), "{error}");
    assert_eq!(list(&world.store).await.unwrap()[0].state, before);
}
