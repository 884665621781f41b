//! What a cluster is like.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use parlant_embedded_postgres::{Cluster, Options};
use tokio_postgres::error::SqlState;

use crate::{alive, ask, connect, connect_to, installation, is_root, kept, reachable_dir, start};

#[tokio::test]
async fn it_serves_over_tcp_and_the_socket_to_who_has_the_password() {
    let cluster = start(Options::temporary()).await;
    let over_tcp = connect(&cluster.url("postgres")).await;
    assert_eq!(ask(&over_tcp, "select current_user::text").await, "postgres");

    for host in ["127.0.0.1", cluster.socket_dir().to_str().unwrap()] {
        connect_to(&cluster, host, cluster.password()).await.unwrap();
        let refused = connect_to(&cluster, host, "guess").await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD), "{host}");
    }

    // Neither the arguments nor the environment of any process show secrets.
    #[cfg(target_os = "linux")]
    for pid in [cluster.pid(), crate::crash::parent_of(cluster.pid())] {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!arguments.contains(cluster.password()));
        let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        assert!(!environment.contains("RUST"), "only what PostgreSQL needs is passed on: {environment}");
    }
    assert!(!format!("{cluster:?}").contains(cluster.password()));
    cluster.stop().await;
}

#[tokio::test]
async fn every_cluster_has_the_same_settings_but_for_the_caller_s() {
    let options = Options::temporary().setting("max_connections", "7").setting("log_timezone", "Asia/Tokyo");
    let cluster = start(options).await;
    let client = connect(&cluster.url("postgres")).await;
    for (setting, value) in [
        ("server_encoding", "UTF8"),
        ("lc_messages", "C"),
        ("timezone", "UTC"),
        ("password_encryption", "scram-sha-256"),
        ("listen_addresses", "127.0.0.1"),
        ("fsync", "off"),
        ("max_connections", "7"),
        ("log_timezone", "Asia/Tokyo"),
    ] {
        assert_eq!(ask(&client, &format!("show {setting}")).await, value, "{setting}");
    }
    let collation = "select datcollate::text from pg_database where datname = 'postgres'";
    assert_eq!(ask(&client, collation).await, "C");

    let name = r#"Ada's / "50%" ü"#;
    client.batch_execute(&format!("create database \"{}\"", name.replace('"', "\"\""))).await.unwrap();
    assert_eq!(ask(&connect(&cluster.url(name)).await, "select current_database()::text").await, name);
    cluster.stop().await;
}

#[tokio::test]
async fn a_persistent_cluster_keeps_data_password_and_port() {
    let dir = reachable_dir();
    let first = start(Options::persistent(dir.path())).await;
    let url = first.url("postgres");
    let client = connect(&url).await;
    assert_eq!(ask(&client, "show fsync").await, "on");
    client.batch_execute("create table kept as select 'yes' as answer").await.unwrap();
    let pid = first.pid();
    first.stop().await;
    assert!(!alive(pid), "stop waits until it is gone");

    let second = start(kept(dir.path())).await;
    assert_eq!(second.url("postgres"), url);
    assert_eq!(ask(&connect(&url).await, "select answer from kept").await, "yes");
    second.stop().await;
}

#[tokio::test]
async fn only_its_account_can_read_it_and_that_is_never_root() {
    let dir = reachable_dir();
    let cluster = start(kept(dir.path())).await;
    let home = dir.path().join("cluster");
    let process = fs::metadata(format!("/proc/{}", cluster.pid())).map(|meta| meta.uid());
    for (path, mode) in [("", 0o700), ("data", 0o700), ("sockets", 0o700), ("password", 0o600), ("log", 0o600)] {
        let meta = fs::metadata(home.join(path)).unwrap();
        assert_eq!(meta.mode() & 0o777, mode, "{path}");
        assert_ne!(meta.uid(), 0, "{path}");
        assert!(process.as_ref().is_ok_and(|uid| *uid == meta.uid()) || !Path::new("/proc/self").exists());
    }
    if is_root() {
        let status = fs::read_to_string(format!("/proc/{}/status", cluster.pid())).unwrap();
        let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
        assert_eq!(groups.trim(), "", "no supplementary group of root's");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_temporary_cluster_leaves_nothing() {
    for wait in [true, false] {
        let cluster = start(Options::temporary()).await;
        let data = ask(&connect(&cluster.url("postgres")).await, "show data_directory").await;
        let home = Path::new(&data).parent().unwrap().to_owned();
        assert!(home.exists());
        if wait {
            cluster.stop().await;
            assert!(!home.exists());
        } else {
            drop(cluster);
            crate::eventually("the directory is gone", || !home.exists()).await;
        }
    }
}

#[tokio::test]
async fn removing_takes_everything_and_is_content_with_nothing() {
    let dir = reachable_dir();
    let place = dir.path().join("place");
    Cluster::remove(&place).await.unwrap();
    assert!(!place.exists());

    start(kept(&place)).await.stop().await;
    Cluster::remove(&place).await.unwrap();
    assert!(!place.join("cluster").exists());
    Cluster::remove(&place).await.unwrap();

    let anew = Cluster::start(&installation(), kept(&place)).await.unwrap();
    anew.stop().await;
}
