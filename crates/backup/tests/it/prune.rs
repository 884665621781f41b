use std::fs;

use chrono::{TimeDelta, Utc};
use parlant_backup_core::{Error, Manifest, Name, Reason, Rules, Standing, Store, find, list, prune};

use crate::world::World;

/// A copy of a backup as if it had been made `days` ago.
fn age(world: &World, manifest: &Manifest, days: i64) -> Name {
    let name = Name::new(Utc::now() - TimeDelta::days(days));
    fs::copy(world.archive(manifest), world.config.dir.join(name.archive_file(false))).unwrap();
    let path = world.config.dir.join(name.manifest_file());
    fs::copy(world.config.dir.join(manifest.name.manifest_file()), path).unwrap();
    world.edit(name, |json| {
        json["name"] = name.to_string().into();
        json["archive"]["file"] = name.archive_file(false).into();
    });
    name
}

#[tokio::test]
async fn old_backups_go_whole_and_a_dry_run_only_tells() {
    let world = World::new().await;
    let newest = world.backup().await;
    world.verify(newest.name).await.unwrap();
    let old: Vec<Name> = (1..12).map(|days| age(&world, &newest, days)).collect();
    world.verify(old[9]).await.unwrap();
    let rules = Rules { keep_for: TimeDelta::days(7), min_count: 2, daily: 0, weekly: 0, monthly: 0 };

    let told = prune(&world.store, &rules, Utc::now(), true).await.unwrap();
    assert_eq!(list(&world.store).await.unwrap().len(), 12);
    let done = prune(&world.store, &rules, Utc::now(), false).await.unwrap();
    let kept =
        |pruned: &[parlant_backup_core::Pruned]| -> Vec<_> { pruned.iter().map(|one| (one.name, one.kept)).collect() };
    assert_eq!(kept(&told), kept(&done));
    // The second of the verified ones is old, and stays for the minimum.
    assert_eq!(done[10].kept, Some(Reason::Minimum));
    let names: Vec<Name> = list(&world.store).await.unwrap().iter().map(|backup| backup.name).collect();
    assert_eq!(names, [&[newest.name][..], &old[..6], &[old[9]]].concat());
    let left = fs::read_dir(&world.config.dir).unwrap().count();
    assert_eq!(left, 8 * 2 + 2 + 1, "files of eight backups, evidence of two, the lock");

    let future = prune(&world.store, &rules, Utc::now() - TimeDelta::days(3), false).await.unwrap_err();
    assert!(matches!(future, Error::Clock(_)), "{future}");
}

#[tokio::test]
async fn what_has_no_manifest_is_left_alone_for_a_day() {
    let world = World::new().await;
    let good = world.backup().await;
    let rules = Rules { keep_for: TimeDelta::zero(), min_count: 1, daily: 0, weekly: 0, monthly: 0 };
    let hours = |hours| Name::new(Utc::now() - TimeDelta::hours(hours));
    for name in [hours(2), hours(30)] {
        fs::write(world.config.dir.join(name.archive_file(false)), "half").unwrap();
    }
    let gone = prune(&world.store, &rules, Utc::now(), false).await.unwrap();
    assert_eq!(gone.len(), 2);
    let left = list(&world.store).await.unwrap();
    assert_eq!(left.len(), 2);
    assert_eq!((left[0].name, left[1].standing()), (good.name, Standing::Unusable));
}

#[tokio::test]
async fn a_backup_is_found_by_newest_by_name_and_by_path() {
    let world = World::new().await;
    let good = world.backup().await;
    let half = Name::new(Utc::now() + TimeDelta::seconds(5));
    fs::write(world.config.dir.join(half.archive_file(false)), "half").unwrap();
    let found = async |called: &str| find(&world.config, false, called, true).await.map(|(_, name)| name);
    assert_eq!(found("newest").await.unwrap(), good.name);
    assert_eq!(found(&good.name.to_string()).await.unwrap(), good.name);
    let path = world.archive(&good);
    let (store, name) = find(&world.config, false, path.to_str().unwrap(), true).await.unwrap();
    assert_eq!(name, good.name);
    assert!(matches!(store, Store::Dir(dir) if dir == world.config.dir));
    for wrong in ["yesterday", "/etc/passwd"] {
        assert!(matches!(found(wrong).await, Err(Error::Refused(_))), "{wrong}");
    }
    assert!(matches!(find(&world.config, true, "newest", true).await, Err(Error::Refused(_))));
}
