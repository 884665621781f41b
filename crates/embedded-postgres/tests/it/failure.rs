//! What is said when a cluster cannot start.

use std::{fs, time::Duration};

use parlant_embedded_postgres::{Cluster, Error, Installation, Options};

use crate::{installation, is_root, kept, reachable_dir, set_mode, start};

async fn error_of(options: Options) -> Error {
    Cluster::start(&installation(), options).await.unwrap_err()
}

#[test]
fn missing_programs_are_named_with_the_way_to_get_them() {
    let empty = tempfile::tempdir().unwrap();
    let message = Installation::find(Some(empty.path())).unwrap_err().to_string();
    assert!(message.contains(&format!("{} has no postgres", empty.path().display())), "{message}");
    assert!(message.contains("version 14 to 18") && message.contains("PG_BIN_DIR"), "{message}");
}

/// A directory with programs that only say which version they are.
fn pretend_installation(version: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for program in ["postgres", "initdb"] {
        let path = dir.path().join(program);
        fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
        set_mode(&path, 0o755);
    }
    dir
}

#[test]
fn an_unsupported_version_is_refused_by_name() {
    let old = pretend_installation("13.1");
    let message = Installation::find(Some(old.path())).unwrap_err().to_string();
    assert!(message.contains("13.1") && message.contains("14 to 18"), "{message}");
}

#[tokio::test]
async fn a_failed_start_reports_the_end_of_the_log_and_leaves_nothing_running() {
    let error = error_of(Options::temporary().setting("shared_buffers", "a lot")).await;
    assert!(matches!(error, Error::Start { .. }), "{error:?}");
    assert!(error.to_string().contains("shared_buffers"), "{error}");
}

/// By these words a lost race for the port is known, after which another one is tried.
#[tokio::test]
async fn a_taken_port_is_told_in_words_that_we_understand() {
    let dir = reachable_dir();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = error_of(kept(dir.path()).setting("port", port)).await;
    assert!(error.to_string().contains("could not create any TCP/IP sockets"), "{error}");
}

#[tokio::test]
async fn data_of_another_major_version_are_refused_and_left_alone() {
    let dir = reachable_dir();
    start(kept(dir.path())).await.stop().await;
    let version = dir.path().join("cluster/data/PG_VERSION");
    fs::write(&version, "13\n").unwrap();

    let message = error_of(kept(dir.path())).await.to_string();

    let installed = installation().major_version().to_string();
    for part in ["PostgreSQL 13", &installed, "PG_BIN_DIR", "pg_upgrade"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    fs::write(&version, format!("{installed}\n")).unwrap();
    start(kept(dir.path())).await.stop().await;
}

#[tokio::test]
async fn a_lost_or_wrong_password_is_said() {
    let dir = reachable_dir();
    start(kept(dir.path())).await.stop().await;
    let password = dir.path().join("cluster/password");
    fs::write(&password, "another\n").unwrap();
    let wrong = error_of(kept(dir.path())).await;
    assert!(wrong.to_string().contains("does not open the cluster next to it"), "{wrong}");
    fs::remove_file(&password).unwrap();
    let lost = error_of(kept(dir.path())).await;
    assert!(lost.to_string().contains(&password.display().to_string()), "{lost}");
}

#[tokio::test]
async fn a_second_owner_is_refused_with_the_first_ones_process_id() {
    let dir = reachable_dir();
    let first = start(kept(dir.path())).await;
    let error = error_of(kept(dir.path())).await;
    assert!(matches!(error, Error::InUse { owner: Some(pid), .. } if pid == std::process::id()), "{error:?}");
    let removal = Cluster::remove(dir.path()).await.unwrap_err();
    assert!(matches!(removal, Error::InUse { .. }), "{removal:?}");
    crate::connect(&first.url("postgres")).await;
    first.stop().await;
    start(kept(dir.path())).await.stop().await;
}

#[tokio::test]
async fn of_many_owners_at_once_one_wins() {
    let dir = reachable_dir();
    let starts = (0..8).map(|_| {
        let options = kept(dir.path().join("place"));
        tokio::spawn(async { Cluster::start(&installation(), options).await })
    });
    let (mut won, mut lost) = (Vec::new(), 0);
    for start in starts.collect::<Vec<_>>() {
        match start.await.unwrap() {
            Ok(cluster) => won.push(cluster),
            Err(Error::InUse { .. }) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((won.len(), lost), (1, 7));
    won.remove(0).stop().await;
}

#[tokio::test]
async fn an_abandoned_start_stops_what_it_began() {
    let dir = reachable_dir();
    for milliseconds in [1, 20, 100, 300, 600] {
        let options = kept(dir.path());
        let patience = Duration::from_millis(milliseconds);
        drop(tokio::time::timeout(patience, Cluster::start(&installation(), options)).await);
    }
    start(kept(dir.path())).await.stop().await;
}

#[tokio::test]
async fn programs_that_the_account_cannot_reach_are_named() {
    if !is_root() {
        return;
    }
    let hidden = pretend_installation("17.0");
    set_mode(hidden.path(), 0o700);
    let unreachable = Installation::find(Some(hidden.path())).unwrap();
    let error = Cluster::start(&unreachable, Options::temporary()).await.unwrap_err();
    assert!(error.to_string().contains(&format!("cannot enter {};", hidden.path().display())), "{error}");
}

#[tokio::test]
async fn a_home_that_others_may_enter_is_refused() {
    let dir = reachable_dir();
    let home = dir.path().join("cluster");
    start(kept(dir.path())).await.stop().await;
    set_mode(&home, 0o755);
    let error = error_of(kept(dir.path())).await;
    assert!(error.to_string().contains("/cluster cannot be trusted with a database"), "{error}");
    assert!(home.join("data").exists());
}
