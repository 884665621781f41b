use std::fs;
use std::future::pending;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parlant_backup_core::{Config, Error, Lock, Made, Reporter, Request, Scope, make};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::world::World;

async fn attempt(world: &World, request: &Request) -> Result<Made, Error> {
    let lock = Lock::take(&world.config.dir)?;
    make(&world.config, &world.url(), request, &lock, &Reporter::default(), pending()).await
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// A `pg_dump` that says that it is of a version and then runs `script`.
fn fake_pg_dump(world: &mut World, version: &str, script: &str) {
    let dir = world.config.dir.with_file_name("bin");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("pg_dump");
    let text =
        format!("#!/bin/sh\n[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) {version}' && exit\n{script}\n");
    // Written by another process: what this one has open for writing, a child that another test forks has for a moment,
    // too, and the system runs no file that is open for writing.
    let mut writer = Command::new("/bin/sh");
    writer.args(["-c", "printf %s \"$1\" >\"$0\" && chmod 755 \"$0\""]).arg(&path).arg(text);
    assert!(writer.status().unwrap().success());
    world.config.bin_dir = Some(dir);
}

/// The real one, whose output a script may do something to.
fn real_pg_dump() -> PathBuf {
    parlant_embedded_postgres::Installation::find(None).unwrap().bin_dir().join("pg_dump")
}

#[tokio::test]
async fn a_backup_is_an_archive_and_a_manifest_that_only_the_owner_reads() {
    let world = World::new().await;
    let manifest = world.backup().await;
    assert_eq!(files(&world.config.dir), [".lock", &manifest.archive.file, &manifest.name.manifest_file()]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.config.dir), 0o700);
    for file in files(&world.config.dir) {
        assert_eq!(mode(&world.config.dir.join(&file)), 0o600, "{file}");
    }
    let archive = fs::read(world.archive(&manifest)).unwrap();
    assert_eq!(archive.len() as u64, manifest.archive.size_bytes);
    let digest = Sha256::digest(&archive).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    assert_eq!(digest, manifest.archive.sha256);
    assert_eq!(manifest.tables["public.item"].rows, 3000);
    assert_eq!(manifest.tables["public.\"Odd \"\"table\""].rows, 5);
    assert_eq!(manifest.tables["public.part_low"].rows, 100);
    assert_eq!(manifest.tables["pg_largeobject"].rows, 1);
    assert!(!manifest.tables.contains_key("public.per_kind"), "a view is computed anew");
}

#[tokio::test]
async fn a_dump_that_fails_leaves_no_file_and_says_why() {
    let mut world = World::new().await;
    let kept = world.backup().await;
    let before = files(&world.config.dir);
    let real = real_pg_dump().display().to_string();
    for (version, script, expected) in [
        (
            "15.1",
            "echo 'pg_dump: error: connection to server failed' >&2; exit 1",
            vec!["exit status: 1", "connection to server failed"],
        ),
        ("15.1", "exec 2>&-; printf PGDMPxxxx; kill -9 $$", vec!["signal: 9"]),
        ("15.1", &*format!("{real} \"$@\" | head -c 3000; exit 2"), vec!["exit status: 2"]),
        ("15.1", "exit 0", vec!["no archive"]),
        ("15.1", "echo 'not a dump at all'", vec!["no archive"]),
        ("9.6.24", "exit 0", vec!["9.6.24", "or newer is needed"]),
        ("nonsense", "exit 0", vec!["or newer is needed", "does not tell its version"]),
    ] {
        fake_pg_dump(&mut world, version, script);
        if version == "15.1" {
            // Whatever the server's version is.
            fake_pg_dump(&mut world, "99.1", script);
        }
        let error = attempt(&world, &Request::default()).await.unwrap_err();
        let text = error.to_string();
        for part in expected {
            assert!(text.contains(part), "{script}: {text}");
        }
        assert!(text.starts_with("pg_dump: "), "{text}");
        assert_eq!(files(&world.config.dir), before, "{script}");
    }
    world.config.bin_dir = Some(world.config.dir.clone());
    let error = attempt(&world, &Request::default()).await.unwrap_err().to_string();
    assert!(error.contains("PG_BIN_DIR") && error.contains("has none"), "{error}");
    world.config.bin_dir = None;
    assert_eq!(fs::read(world.archive(&kept)).unwrap().len() as u64, kept.archive.size_bytes);
    attempt(&world, &Request::default()).await.unwrap();
}

#[tokio::test]
async fn an_interrupted_dump_ends_its_children_and_leaves_no_file() {
    let mut world = World::new().await;
    let pid_file = world.config.dir.with_file_name("pid");
    fake_pg_dump(&mut world, "99.1", &format!("echo $$ > {}; printf PGDMP; exec sleep 600", pid_file.display()));
    let lock = Lock::take(&world.config.dir).unwrap();
    let started = async {
        while fs::read_to_string(&pid_file).unwrap_or_default().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        "a test".to_owned()
    };
    let url = world.url();
    let made = make(&world.config, &url, &Request::default(), &lock, &Reporter::default(), started).await;
    assert_eq!(made.unwrap_err().to_string(), "interrupted by a test");
    let pid = fs::read_to_string(&pid_file).unwrap();
    let process = PathBuf::from(format!("/proc/{}/cmdline", pid.trim()));
    while fs::read(&process).is_ok_and(|command| !command.is_empty()) {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(files(&world.config.dir), [".lock"]);
}

#[tokio::test]
async fn what_the_role_may_not_read_is_named_before_the_dump() {
    let world = World::new().await;
    let lock = Lock::take(&world.config.dir).unwrap();
    let role = parlant_db_pool::Config::new(world.database.url_as("parlant_app"));
    let request = Request::default();
    let made = make(&world.config, &role, &request, &lock, &Reporter::default(), pending()).await;
    let error = made.unwrap_err().to_string();
    assert!(error.contains("may not read") && error.contains("public.item") && error.contains(" more"), "{error}");

    world.run("grant pg_read_all_data to parlant_app; alter table kind enable row level security").await;
    let made = make(&world.config, &role, &request, &lock, &Reporter::default(), pending()).await;
    world.run("revoke pg_read_all_data from parlant_app").await;
    let error = made.unwrap_err().to_string();
    assert!(error.contains("row security") && error.contains("public.kind"), "{error}");
    assert_eq!(files(&world.config.dir), [".lock"]);
}

#[tokio::test]
async fn only_the_bridge_s_tables_may_be_backed_up_and_restored() {
    let mut world = World::empty().await;
    world.database = parlant_test_support::database().await;
    world.database.sim().await.user("Ada").await;
    let scope = Scope { only_parlant: true, ..Scope::default() };
    let manifest = attempt(&world, &Request { scope, ..Request::default() }).await.unwrap().manifest;
    let tables = &manifest.tables;
    assert!(tables.keys().all(|table| table.starts_with("public.parlant_")), "{tables:?}");
    for table in ["agent", "event", "migrations", "session"] {
        assert!(tables.contains_key(&format!("public.parlant_{table}")), "{table}");
    }
    assert!(manifest.migration_version.is_some_and(|version| version >= 3));
    world.verify(manifest.name).await.unwrap();
}

#[tokio::test]
async fn sessions_may_be_left_out_and_nothing_that_others_refer_to() {
    let mut world = World::empty().await;
    world.database = parlant_test_support::database().await;
    let sim = world.database.sim().await;
    let token = sim.session(&sim.user("Ada").await).await;
    let request = Request { without_sessions: true, ..Request::default() };
    let manifest = attempt(&world, &request).await.unwrap().manifest;
    assert_eq!(manifest.scope.without_data, ["public.session"], "those that there are");
    assert_eq!((manifest.tables["public.session"].rows, manifest.tables["public.\"user\""].rows), (0, 1));
    world.verify(manifest.name).await.unwrap();
    let plain = zstd::decode_all(&*fs::read(world.archive(&manifest)).unwrap()).unwrap();
    assert!(!plain.windows(token.len()).any(|part| part == token.as_bytes()));

    for (table, expected) in
        [("public.\"user\"", "refers to public.\"user\""), ("public.users", "nothing to leave out")]
    {
        let scope = Scope { without_data: vec![table.to_owned()], ..Scope::default() };
        let error = attempt(&world, &Request { scope, ..Request::default() }).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn one_run_at_a_time_uses_a_directory_and_one_reads_a_database() {
    let mut world = World::new().await;
    let go = world.config.dir.with_file_name("go");
    fake_pg_dump(&mut world, "99.1", &format!("printf PGDMP; until [ -e {} ]; do sleep 0.05; done", go.display()));
    let request = Request::default();
    let first = attempt(&world, &request);
    let second = async {
        while files(&world.config.dir).iter().all(|file| !file.contains(".dump.")) {
            sleep(Duration::from_millis(10)).await;
        }
        let same_directory = Lock::take(&world.config.dir).unwrap_err();
        let other = Config::new(world.config.dir.with_file_name("other"));
        let lock = Lock::take(&other.dir).unwrap();
        let same_database = make(&other, &world.url(), &request, &lock, &Reporter::default(), pending()).await;
        fs::write(&go, "").unwrap();
        (same_directory, same_database.unwrap_err())
    };
    fs::create_dir_all(&world.config.dir).unwrap();
    let (first, (same_directory, same_database)) = tokio::join!(first, second);
    first.unwrap();
    for error in [same_directory, same_database] {
        assert!(matches!(error, Error::Locked(_)), "{error}");
        assert!(error.to_string().contains("parlant-"), "{error}");
    }
    let _free = Lock::take(&world.config.dir).unwrap();
}

#[tokio::test]
async fn what_a_killed_run_left_is_cleared_away_or_finished() {
    let world = World::new().await;
    let old = world.backup().await;
    let dir = &world.config.dir;
    let (archive, manifest) = (world.archive(&old), dir.join(old.name.manifest_file()));
    fs::rename(&manifest, dir.join(format!("{}.tmp", old.name.manifest_file()))).unwrap();
    fs::write(dir.join("parlant_backup_20200101_000000.dump.zst.tmp"), "half").unwrap();
    fs::write(dir.join("parlant_backup_20200101_000000.manifest.json.tmp"), "{}").unwrap();
    fs::write(dir.join("somebody_else_s.tmp"), "").unwrap();

    let new = world.backup().await;
    assert!(archive.exists() && manifest.exists(), "both were on the disk, only a name was missing");
    let expected = [
        ".lock".to_owned(),
        old.archive.file.clone(),
        old.name.manifest_file(),
        new.archive.file,
        new.name.manifest_file(),
        "somebody_else_s.tmp".to_owned(),
    ];
    assert_eq!(files(dir), expected);
    world.verify(old.name).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_to_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let dir = file.path().join("backups");
    let error = Lock::take(&dir).unwrap_err().to_string();
    assert_eq!(error, format!("cannot make {}", dir.display()));
}
