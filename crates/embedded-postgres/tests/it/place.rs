//! Where clusters can be.

use std::{fs, os::unix::fs::chown, path::PathBuf};

use parlant_embedded_postgres::Cluster;

use crate::{ask, connect, connect_to, installation, is_root, kept, reachable_dir, set_mode, start};

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let dir = reachable_dir();
    let deep = dir.path().join("deep".repeat(20)).join("deeper".repeat(20));
    let cluster = start(kept(&deep)).await;
    let sockets = cluster.socket_dir().to_owned();
    let host = sockets.to_str().unwrap();
    connect_to(&cluster, host, cluster.password()).await.unwrap();
    assert_eq!(fs::metadata(&sockets).map(|meta| mode(&meta)).unwrap(), 0o700);
    cluster.stop().await;
    assert!(!sockets.exists());
    start(kept(&deep)).await.stop().await;
}

#[tokio::test]
async fn a_path_may_have_any_characters() {
    let dir = reachable_dir();
    let odd = dir.path().join("it's \"odd\" $HOME `x`\n* ü");
    for _ in 0..2 {
        start(kept(&odd)).await.stop().await;
    }
    Cluster::remove(&odd).await.unwrap();
}

/// A place like root's home: the cluster's account cannot get there.
fn unreachable_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o700);
    dir
}

/// Where a cluster went that was requested in `dir`.
fn elsewhere(dir: &tempfile::TempDir) -> PathBuf {
    fs::read_link(dir.path().join("place/cluster")).unwrap()
}

fn mode(meta: &fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;
    meta.mode() & 0o777
}

#[tokio::test]
async fn as_root_a_place_out_of_reach_is_served_elsewhere_and_removed_from_there() {
    if !is_root() {
        return;
    }
    let dir = unreachable_dir();
    let place = dir.path().join("place");
    let cluster = start(kept(&place)).await;
    let home = elsewhere(&dir);
    assert_eq!(fs::metadata(&home).map(|meta| mode(&meta)).unwrap(), 0o700);
    connect(&cluster.url("postgres")).await.batch_execute("create table kept ()").await.unwrap();
    cluster.stop().await;

    let cluster = start(kept(&place)).await;
    connect(&cluster.url("postgres")).await.batch_execute("select from kept").await.unwrap();
    cluster.stop().await;

    Cluster::remove(&place).await.unwrap();
    assert!(!home.exists() && !place.join("cluster").is_symlink());
}

#[tokio::test]
async fn as_root_removing_the_requested_directory_by_hand_removes_the_data_elsewhere() {
    if !is_root() {
        return;
    }
    let dir = unreachable_dir();
    let place = dir.path().join("place");
    let cluster = start(kept(&place)).await;
    connect(&cluster.url("postgres")).await.batch_execute("create table kept ()").await.unwrap();
    let home = elsewhere(&dir);
    // Even while it runs.
    fs::remove_dir_all(&place).unwrap();
    let anew = start(kept(&place)).await;
    assert_eq!(elsewhere(&dir), home);
    let kept = ask(&connect(&anew.url("postgres")).await, "select to_regclass('kept') is null ::text").await;
    assert_eq!(kept, "true");
    drop(cluster);
    anew.stop().await;
    Cluster::remove(&place).await.unwrap();
}

#[tokio::test]
async fn as_root_a_directory_that_somebody_else_put_there_is_not_trusted() {
    if !is_root() {
        return;
    }
    let dir = unreachable_dir();
    let place = dir.path().join("place");
    start(kept(&place)).await.stop().await;
    let home = elsewhere(&dir);
    Cluster::remove(&place).await.unwrap();

    for trap in ["of another user", "open to all", "a symlink"] {
        match trap {
            "of another user" => {
                fs::create_dir(&home).unwrap();
                set_mode(&home, 0o700);
                chown(&home, Some(12_345), None).unwrap();
            }
            "open to all" => {
                fs::create_dir(&home).unwrap();
                set_mode(&home, 0o777);
            }
            _ => std::os::unix::fs::symlink("/etc", &home).unwrap(),
        }
        let error = Cluster::start(&installation(), kept(&place)).await.unwrap_err();
        let refusal = format!("{} cannot be trusted", home.display());
        assert!(error.to_string().starts_with(&refusal), "{trap}: {error}");
        fs::remove_dir(&home).or_else(|_| fs::remove_file(&home)).unwrap();
    }
}

#[tokio::test]
async fn as_root_a_cluster_goes_on_as_the_account_that_owns_it() {
    if !is_root() {
        return;
    }
    let dir = reachable_dir();
    start(kept(dir.path())).await.stop().await;
    let status =
        std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(dir.path().join("cluster")).status();
    assert!(status.unwrap().success());
    let cluster = start(kept(dir.path())).await;
    let uid = fs::metadata(format!("/proc/{}", cluster.pid())).map(|meta| std::os::unix::fs::MetadataExt::uid(&meta));
    assert_eq!(uid.unwrap(), 65_534);
    cluster.stop().await;
}
