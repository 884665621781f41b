use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::deployment::{Deployment, free_port, server_program, start_id, until};
use crate::load;

const RESTARTS: usize = 50;

/// What the first process does with a service that ends, in as much as sockets are concerned: the program starts again
/// and gets the same one. The program of systemd's that listens starts its command once.
const SUPERVISOR: &str = r#"
    while [ ! -e stop ]; do
        LISTEN_PID= sh -c 'echo $$ >pid; LISTEN_PID=$$ exec "$0" serve' "$0" </dev/null >>log 2>&1 || echo $? >>failures
    done"#;

/// `systemd-socket-activate`, and what it started.
struct Activated {
    child: Child,
    directory: std::path::PathBuf,
}

impl Activated {
    fn start(directory: &Path, address: SocketAddr) -> Self {
        let mut command = Command::new("systemd-socket-activate");
        command.arg(format!("--listen={address}")).args(["sh", "-c", SUPERVISOR]).arg(server_program());
        let child = command.current_dir(directory).spawn().unwrap();
        Self { child, directory: directory.to_owned() }
    }

    /// Of the process that runs now.
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(fs::read_to_string(self.directory.join("pid")).ok()?.trim().parse().ok()?)
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        fs::write(self.directory.join("stop"), "").unwrap();
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_restarts_under_load_cost_no_request() {
    let deployment = Deployment::new("SHUTDOWN_GRACE=30s").await;
    let directory = deployment.directory.path();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let url = format!("http://{address}");
    let activated = Activated::start(directory, address);
    // The first connection starts it.
    until("it listens", async || TcpStream::connect(address).await.ok()).await;
    let mut known = BTreeSet::from([until("the first answers", async || start_id(&url).await).await]);

    let (stop, stopped) = watch::channel(false);
    let token = deployment.token.clone();
    let load = tokio::spawn(async move { load::run(address, &token, Duration::from_millis(15), stopped).await });
    for restart in 0..RESTARTS {
        // At another point of the load's rhythm each time.
        sleep(Duration::from_millis(200 + 37 * (restart as u64 % 7))).await;
        kill_process(activated.pid().unwrap(), Signal::TERM).unwrap();
        let next = async || start_id(&url).await.filter(|id| !known.contains(id));
        let next = until("the next one answers", next).await;
        known.insert(next);
    }
    stop.send(true).unwrap();
    let tally = load.await.unwrap();
    println!("{RESTARTS} restarts: {tally:?}");
    assert_eq!(known.len(), RESTARTS + 1);
    assert_eq!(tally.outcomes.keys().collect::<Vec<_>>(), ["200"], "{tally:?}");
    assert!(tally.outcomes["200"] > 20 * RESTARTS && tally.last > RESTARTS, "{tally:?}");
    assert!(tally.reused > tally.outcomes["200"] / 3, "{tally:?}");
    assert!(!deployment.path("failures").exists(), "one ended with another code than 0");
    let log = fs::read_to_string(deployment.path("log")).unwrap();
    assert!(!log.contains("Requests were cut off") && !log.contains(r#""level":"ERROR""#));
    println!("{}", deployment.database.name());
}
