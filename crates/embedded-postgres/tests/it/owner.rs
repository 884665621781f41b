//! Another process that owns a cluster, to be killed: this test program, run once more.

use std::{
    env,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use parlant_embedded_postgres::Options;
use tokio::signal::unix::{SignalKind, signal};

/// The directory of the cluster to own, or `temporary`.
const VARIABLE: &str = "PARLANT_TEST_OWNER_OF";

/// What the owner prints before the URL of its cluster.
const READY: &str = "ready: ";

/// A process that owns a cluster until it is killed.
pub(crate) struct Owner {
    child: Child,
    _output: BufReader<ChildStdout>,
    /// The superuser's.
    pub(crate) url: String,
    pub(crate) postmaster: u32,
}

impl Owner {
    /// Starts the process without waiting for its cluster.
    pub(crate) fn spawn(dir: Option<&Path>) -> Child {
        Command::new(env::current_exe().unwrap())
            .args(["--exact", "owner::owns_a_cluster_when_told_to", "--nocapture"])
            .env(VARIABLE, dir.unwrap_or(Path::new("temporary")))
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn start(dir: Option<&Path>) -> Self {
        let mut child = Self::spawn(dir);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let ready = loop {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the owner has no cluster");
            if let Some((_, ready)) = line.trim_end().split_once(READY) {
                break ready;
            }
        };
        let (pid, url) = ready.split_once(' ').unwrap();
        Self { child, _output: output, url: url.to_owned(), postmaster: pid.parse().unwrap() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The shell that supervises the cluster.
    #[cfg(target_os = "linux")]
    pub(crate) fn supervisor(&self) -> u32 {
        super::crash::parent_of(self.postmaster)
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The other process. In the ordinary run it has nothing to do.
#[tokio::test]
async fn owns_a_cluster_when_told_to() {
    #[expect(clippy::disallowed_methods, reason = "said by the test that started this process")]
    let Some(dir) = env::var_os(VARIABLE) else {
        return;
    };
    let options = if dir == "temporary" { Options::temporary() } else { super::kept(dir) };
    let mut ctrl_c = signal(SignalKind::interrupt()).unwrap();
    let cluster = super::start(options).await;
    println!("{READY}{} {}", cluster.pid(), cluster.url("postgres"));
    // The owner takes its time after Ctrl-C.
    ctrl_c.recv().await.unwrap();
    let client = super::connect(&cluster.url("postgres")).await;
    client.batch_execute("create table still_here ()").await.unwrap();
    cluster.stop().await;
}
