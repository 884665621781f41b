//! `kill -9` of a restore, real or on trial, leaves nothing that looks whole and nothing that the next one does not
//! tidy up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::sleep;

use crate::place::{Place, end};

const MOMENTS: u32 = 50;
/// Of a private server, which takes longer.
const PRIVATE_MOMENTS: u32 = 8;
const ROWS: u32 = 20_000;
const TRIALS: &str = "parlant\\_verify\\_%";
const RESTORES: &str = "parlant\\_restoring\\_%";

/// A database, and one backup of it.
async fn backed_up() -> Place {
    let place = Place::new().await;
    place.fill(ROWS).await;
    let ended = place.run(&["run", "--no-verify"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place
}

async fn databases(place: &Place, like: &str) -> Vec<String> {
    let sql = "select datname::text from pg_database where datname like $1";
    place.database.superuser().await.query(sql, &[&like]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Starts the program, and kills it within the time that it would have taken.
async fn kill(mut command: Command, takes: Duration) {
    let mut child = command.spawn().unwrap();
    sleep(takes.mul_f64(rand::random())).await;
    child.kill().await.unwrap();
}

/// Runs the program until nothing is left of those that were killed: the server may still be busy for one of them, and
/// what is in use is left alone.
async fn tidy_up(place: &Place, command: impl Fn() -> Command, like: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let next = end(command()).await;
        assert_eq!(next.code, Some(0), "{next:?}");
        let left = databases(place, like).await;
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?}");
    }
}

#[tokio::test]
async fn a_killed_restore_leaves_the_old_database_or_the_new_one() {
    let place = backed_up().await;
    let target = format!("{}_restored", place.database.name());
    let arguments = ["restore", "newest", "--database", &target, "--replace", &target, "--force"];
    let begun = Instant::now();
    let ended = place.run(&arguments).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let takes = begun.elapsed();
    let url = place.database.superuser_url().replace(&format!("/{}", place.database.name()), &format!("/{target}"));
    for moment in 0..MOMENTS {
        kill(place.program(&arguments), takes).await;
        if moment % 10 == 0 {
            let client = parlant_db_pool::connect(&parlant_db_pool::Config::new(url.clone())).await.unwrap();
            let rows: i64 = client.query_one("select count(*) from filling", &[]).await.unwrap().get(0);
            assert_eq!(rows, i64::from(ROWS));
        }
    }
    assert_eq!(databases(&place, &target).await.len(), 1);
    tidy_up(&place, || place.program(&arguments), RESTORES).await;
}

#[tokio::test]
async fn a_killed_or_interrupted_verification_leaves_no_half_evidence_and_no_database() {
    let place = backed_up().await;
    let verify = || {
        let mut command = place.program(&["verify"]);
        command.env("BACKUP_VERIFY_URL", place.database.superuser_url());
        command
    };
    let begun = Instant::now();
    assert_eq!(end(verify()).await.code, Some(0));
    let takes = begun.elapsed();
    for _ in 0..MOMENTS {
        for file in place.files().iter().filter(|file| file.ends_with(".verified.json")) {
            let path = place.path("backups").join(file);
            // What is there is whole.
            serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap()).unwrap();
            fs::remove_file(path).unwrap();
        }
        kill(verify(), takes).await;
    }
    tidy_up(&place, verify, TRIALS).await;

    let mut child = verify().spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while databases(&place, TRIALS).await.is_empty() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none());
    }
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
    assert_eq!(databases(&place, TRIALS).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_private_server_goes_with_the_program_that_was_killed() {
    let place = backed_up().await;
    let temporary = TempDir::new().unwrap();
    // As root, PostgreSQL runs as somebody else, who needs to get in.
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let verify = || {
        let mut command = place.program(&["verify"]);
        command.env("TMPDIR", temporary.path());
        command
    };
    let begun = Instant::now();
    assert_eq!(end(verify()).await.code, Some(0));
    let takes = begun.elapsed();
    for _ in 0..PRIVATE_MOMENTS {
        kill(verify(), takes).await;
    }
    let left = || fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !left().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", left());
        sleep(Duration::from_millis(50)).await;
    }
}
