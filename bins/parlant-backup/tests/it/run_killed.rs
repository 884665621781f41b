use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::place::Place;

const MOMENTS: u32 = 50;

#[tokio::test]
async fn killed_at_any_moment_a_run_leaves_nothing_that_looks_whole_and_is_not() {
    let place = Place::new().await;
    place.fill(20_000).await;
    let run = ["run", "--no-verify", "--no-prune", "--json"];
    let begun = Instant::now();
    assert_eq!(place.run(&run).await.code, Some(0));
    let whole = begun.elapsed();
    for moment in 0..MOMENTS {
        let mut program = place.program(&run).spawn().unwrap();
        // Every part of a run has its turn, and a little beyond its usual end.
        sleep(whole.mul_f64(f64::from(moment) / f64::from(MOMENTS) * 1.1)).await;
        program.start_kill().unwrap();
        let status = program.wait().await.unwrap();
        assert_ne!(status.code(), Some(4), "the lock of a killed run is free at {moment}");
        for file in place.files() {
            let Some(name) = file.strip_suffix(".manifest.json") else {
                continue;
            };
            let manifest: Value =
                serde_json::from_slice(&fs::read(place.path("backups").join(&file)).unwrap()).unwrap();
            let archive = manifest["archive"]["file"].as_str().unwrap();
            let size = fs::metadata(place.path("backups").join(archive)).unwrap().len();
            assert_eq!(manifest["archive"]["size_bytes"].as_u64(), Some(size), "{name} at {moment}");
        }
    }
    // What a killed run's server process still does ends on its own; nobody has to wait for it.
    let ended = place.run(&["run", "--no-prune", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["verified"], true);
    let (manifests, others): (Vec<_>, Vec<_>) =
        place.files().into_iter().partition(|file| file.ends_with(".manifest.json"));
    assert!(others.iter().all(|file| !file.contains("tmp")), "{others:?}");
    for archive in others.iter().filter(|file| file.contains(".dump.")) {
        let manifest = archive.replace(".dump.zst", ".manifest.json");
        assert!(manifests.contains(&manifest), "{archive} is no backup");
    }
    // Each of them is good, not only the last.
    let ended = place.run(&["verify", manifests[manifests.len() / 2].strip_suffix(".manifest.json").unwrap()]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn a_termination_is_heard_and_leaves_nothing() {
    let place = Place::new().await;
    let pid_file = place.path("pid");
    place.script(
        "pg_dump",
        &format!(
            "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit\n\
            echo $$ > {0}.tmp; mv {0}.tmp {0}; printf PGDMP; exec sleep 600",
            pid_file.display()
        ),
    );
    let program = place.program(&["run", "--no-verify", "--json"]).env_remove("PG_BIN_DIR").spawn().unwrap();
    while !pid_file.exists() {
        sleep(Duration::from_millis(20)).await;
    }
    let id = program.id().unwrap();
    let killed = std::process::Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().unwrap();
    assert!(killed.success());
    let output = program.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("interrupted by SIGTERM"));
    assert!(place.files().is_empty(), "{:?}", place.files());
    let child = format!("/proc/{}/cmdline", fs::read_to_string(&pid_file).unwrap().trim());
    while fs::read(&child).is_ok_and(|command| !command.is_empty()) {
        sleep(Duration::from_millis(20)).await;
    }
}
