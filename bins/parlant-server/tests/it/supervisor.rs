//! The server as systemd sees it: the socket that it hands over, and what it is told.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use parlant_test_support::{ChaosProxy, database};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::program::{PATIENCE, Running, output, program, text};
use crate::serve::{client, healthy};

/// Where systemd listens.
struct Notices(UnixDatagram);

impl Notices {
    fn listen(directory: &Path) -> Self {
        let socket = UnixDatagram::bind(directory.join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// Waits for the message that has this line, and gives it with those before it.
    async fn until(&self, line: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if let Ok(length) = self.0.recv(&mut buffer) {
                messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                if messages.last().unwrap().lines().any(|found| found == line) {
                    return messages;
                }
            } else {
                assert!(Instant::now() < deadline, "no {line} in {messages:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// The server as a supervisor starts it that hands over this socket.
fn handing_over(listener: &TcpListener, directory: &Path, environment: &[(&str, &str)]) -> Running {
    let server = program(directory, &[], environment);
    // The shell knows the id that the server will have, and which descriptor is the third.
    let mut command = Command::new("sh");
    command.args(["-c", r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" serve 3<&0 </dev/null"#]).arg(server.get_program());
    command.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(directory);
    command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    Running::inheriting(command, directory)
}

/// A server under a supervisor that listens.
fn supervised(url: &str, more: &[(&str, &str)]) -> (Running, Notices, TcpListener, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let notices = Notices::listen(directory.path());
    let socket = directory.path().join("notify");
    // A socket that was handed over wins.
    let mut environment = vec![("DATABASE_URL", url), ("NOTIFY_SOCKET", socket.to_str().unwrap()), ("PORT", "1")];
    environment.extend_from_slice(more);
    (handing_over(&listener, directory.path(), &environment), notices, listener, directory)
}

#[tokio::test]
async fn systemd_is_told_of_start_reload_life_and_stop_and_its_socket_is_used() {
    let database = database().await;
    let more = [("WATCHDOG_USEC", "200000"), ("SHUTDOWN_GRACE", "7s")];
    let (mut server, notices, listener, _directory) = supervised(&database.url(), &more);
    let ready = notices.until("READY=1").await;
    let address = server.address().await;
    assert_eq!(address, format!("http://{}", listener.local_addr().unwrap()));
    assert!(ready.last().unwrap().contains(&format!("STATUS=Serving on {}", listener.local_addr().unwrap())));
    assert!(ready[0].contains("EXTEND_TIMEOUT_USEC="), "{ready:?}");
    healthy(&address).await;
    for _ in 0..3 {
        notices.until("WATCHDOG=1").await;
    }

    server.signal(Signal::HUP);
    let reloading = notices.until("RELOADING=1").await.pop().unwrap();
    let monotonic = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(monotonic.parse::<u64>().unwrap() > 0);
    notices.until("READY=1").await;

    server.signal(Signal::TERM);
    let stopping = notices.until("STOPPING=1").await.pop().unwrap();
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=22000000"), "{stopping}");
    assert_eq!(server.ended().await, Some(0));
    let mut buffer = [0; 4096];
    while let Ok(length) = notices.0.recv(&mut buffer) {
        assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
    }
}

#[tokio::test]
async fn a_reload_during_the_start_does_not_say_that_the_start_is_over() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    proxy.refuse().await;
    let (mut server, notices, _listener, _directory) = supervised(&database.url_through(proxy.address()), &[]);
    server.wait_for(|log| log.contains("Waiting for the database").then_some(())).await;
    server.signal(Signal::HUP);
    server.wait_for(|log| log.contains(r#""message":"Reloaded""#).then_some(())).await;
    // The wait goes on, and the supervisor knows.
    for _ in 0..3 {
        let told = notices.until("STATUS=Connecting to the database").await;
        assert!(!told.iter().any(|message| message.contains("READY=1")), "{told:?}");
    }
    proxy.restore().await;
    notices.until("READY=1").await;
}

#[tokio::test]
async fn what_waits_in_the_socket_is_served_by_the_next_process() {
    let database = database().await;
    let (mut server, _notices, listener, _directory) = supervised(&database.url(), &[]);
    let address = server.address().await;
    healthy(&address).await;
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));
    let waiting = tokio::spawn(client().get(format!("{address}/livez")).send());
    let directory = tempfile::tempdir().unwrap();
    let mut next = handing_over(&listener, directory.path(), &[("DATABASE_URL", &database.url())]);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    assert_eq!(next.address().await, address);
}

#[test]
fn what_is_handed_over_must_be_one_tcp_socket() {
    for (count, expected) in [("2", "2 sockets were handed over"), ("1", "cannot be used: fd 3 is not a socket")] {
        let environment = [("DATABASE_URL", "postgres://u@h/d"), ("LISTEN_FDS", count)];
        let output = output(&["serve"], &environment);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains(expected), "{}", text(&output));
    }
}
