//! Runs real clusters from the PostgreSQL that is installed here (or in `PG_BIN_DIR`).
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod crash;
mod failure;
mod owner;
mod place;
mod start;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use parlant_embedded_postgres::{Cluster, Installation, Options};
use tokio_postgres::{Client, NoTls};

/// The binaries to test.
#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
fn installation() -> Installation {
    let bin_dir = env::var_os("PG_BIN_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    Installation::find(bin_dir.as_deref()).unwrap()
}

/// A cluster that stays, and that no test crashes the machine under.
fn kept(dir: impl Into<PathBuf>) -> Options {
    Options { durable: false, ..Options::persistent(dir) }
}

async fn start(options: Options) -> Cluster {
    Cluster::start(&installation(), options).await.unwrap_or_else(|error| panic!("{error}"))
}

/// A connection to the cluster's `host`: an address or the directory of a socket.
async fn connect_to(cluster: &Cluster, host: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host(host).port(cluster.address().port()).user("postgres").dbname("postgres");
    let (client, connection) = config.password(password).connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::Config::connect(&url.parse().unwrap(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// A directory that the account of a cluster can reach, also when that is not ours.
fn reachable_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o711);
    dir
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the process exists and is more than an exit status that nobody has collected.
fn alive(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => rustix::process::test_kill_process(as_pid(pid)).is_ok(),
    }
}

fn as_pid(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(pid.cast_signed()).unwrap()
}

fn kill(pid: u32) {
    rustix::process::kill_process(as_pid(pid), rustix::process::Signal::KILL).unwrap();
}

/// Waits until it is so, at most 20 seconds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
