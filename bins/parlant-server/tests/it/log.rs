//! What SIGHUP does, and that the log's file is complete through it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use parlant_metrics::Snapshot;
use parlant_test_support::{ChaosProxy, database};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::metrics::scrape_until;
use crate::program::{PATIENCE, Running, output, text};
use crate::serve::{client, healthy, serve};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// How many lines there are with that message.
fn count(text: &str, message: &str) -> usize {
    text.matches(&format!(r#""message":"{message}""#)).count()
}

async fn hang_up(server: &mut Running, answer: &str) {
    let before = count(&server.log(), answer);
    server.signal(Signal::HUP);
    server.wait_for(|log| (count(log, answer) > before).then_some(())).await;
}

/// How often each request has its completed line.
fn completed(text: &str) -> BTreeMap<String, usize> {
    let mut requests = BTreeMap::new();
    for line in lines(text).iter().filter(|line| line["message"] == "Request completed") {
        assert!(line["status_code"] == 200 && line["duration_ms"].is_f64() && line["client"] == "127.0.0.1", "{line}");
        *requests.entry(line["request_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    requests
}

#[tokio::test]
async fn each_request_has_one_line_in_the_file_through_rotations_by_rename_and_sighup() {
    const REQUESTS: usize = 600;
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/parlant.log");
    let (mut server, _directory) = serve(&database.url(), &[("LOG_FILE", path.to_str().unwrap())]);
    let address = server.address().await;
    let client = client();
    let ask = async |requests: std::ops::Range<usize>| {
        for number in requests {
            let request = client.get(format!("{address}/livez")).header("x-request-id", format!("rotated-{number}"));
            assert!(request.send().await.unwrap().status().is_success());
        }
    };
    let rotate = async {
        for rotation in 0..5 {
            fs::rename(&path, path.with_extension(rotation.to_string())).unwrap();
            server.signal(Signal::HUP);
            let deadline = Instant::now() + PATIENCE;
            while !path.exists() {
                assert!(Instant::now() < deadline, "no new file");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::join!(ask(0..REQUESTS / 2), ask(REQUESTS / 2..REQUESTS), rotate);
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));

    let files: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 6);
    let file: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for text in [&file, &server.log()] {
        let completed = completed(text);
        assert_eq!(completed.len(), REQUESTS);
        assert!(completed.values().all(|times| *times == 1));
    }
    assert_eq!(count(&file, "Stopped"), 1, "the last line is there");
}

#[tokio::test]
async fn sighup_reads_the_level_again_and_a_wrong_one_changes_nothing() {
    let database = database().await;
    let (mut server, directory) = serve(&database.url(), &[("LOG_LEVEL_FILE", "level")]);
    let write = |name: &str, text: &str| fs::write(Path::new(directory.path()).join(name), text).unwrap();
    let address = server.address().await;
    let refused = async |server: &mut Running| {
        let before = count(&server.log(), "Request refused");
        let id = format!("asked-{}", server.log().len());
        let answer =
            client().get(format!("{address}/api/v1/auth/me")).header("x-request-id", &id).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let completed = |line: &str| line.contains(&id) && line.contains("Request completed");
        server.wait_for(|log| log.lines().any(completed).then_some(())).await;
        count(&server.log(), "Request refused") - before
    };
    assert_eq!(refused(&mut server).await, 0);

    write(".env", "LOG_LEVEL=DEBUG\nRATE_LIMIT_BURST=7\n");
    hang_up(&mut server, "Reloaded").await;
    let told = |log: &str| {
        let told =
            lines(log).into_iter().find(|line| line["message"].as_str().unwrap().starts_with("These have changed"))?;
        Some(told["variables"].as_str()?.to_owned())
    };
    assert_eq!(server.wait_for(told).await, "RATE_LIMIT_BURST");
    assert_eq!(refused(&mut server).await, 1, "DEBUG from .env");

    write("level", "INFO\n");
    hang_up(&mut server, "Reloaded").await;
    assert_eq!(refused(&mut server).await, 0, "INFO from the file, which comes first");

    write("level", "debug,parlant_api=debug");
    hang_up(&mut server, "Reloaded").await;
    write("level", "a=b=c");
    hang_up(&mut server, "Not reloaded: the level of the log stays as it was").await;
    assert!(server.log().contains("LOG_LEVEL_FILE: must be "), "{}", server.log());
    assert_eq!(refused(&mut server).await, 1, "still DEBUG");
}

#[tokio::test]
async fn sighup_does_not_end_a_server_that_still_waits_for_its_database() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    proxy.refuse().await;
    let (mut server, _directory) = serve(&database.url_through(proxy.address()), &[]);
    server.wait_for(|log| log.contains("Waiting for the database").then_some(())).await;
    hang_up(&mut server, "Reloaded").await;
    proxy.restore().await;
    let address = server.address().await;
    healthy(&address).await;
    server.signal(Signal::TERM);
    server.signal(Signal::HUP);
    assert_eq!(server.ended().await, Some(0), "nor one that stops");
}

#[tokio::test]
async fn a_request_that_the_end_of_the_grace_cuts_off_leaves_its_line() {
    let database = database().await;
    let (mut server, _directory) = serve(&database.url(), &[("SHUTDOWN_GRACE", "1s")]);
    let address = server.address().await;
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    let half = "POST /api/v1/auth/validate HTTP/1.1\r\nhost: x\r\nx-request-id: stuck\r\n\
        content-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(half.as_bytes()).await.unwrap();
    // Itself and the one that is stuck.
    let under_way = |numbers: &Snapshot| numbers.sum("parlant_http_requests_in_flight", &[]) >= Some(2.0);
    scrape_until(&address, "the request has begun", under_way).await;
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await, Some(0));
    let lines = lines(&server.log());
    let of_request: Vec<_> = lines.iter().filter(|line| line["request_id"] == "stuck").collect();
    assert_eq!(of_request.len(), 1, "{of_request:?}");
    assert_eq!((&of_request[0]["message"], &of_request[0]["status_code"]), (&"Request completed".into(), &499.into()));
    let counted = lines.iter().find(|line| line["message"] == "Requests were cut off at the end of the grace").unwrap();
    assert_eq!((&counted["level"], &counted["requests"]), (&"WARN".into(), &1.into()));
}

#[test]
fn a_file_that_cannot_be_written_is_a_problem_of_the_configuration() {
    for command in ["serve", "check-config"] {
        // A file is no folder, not even for root.
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml/log");
        let output = output(&[command], &[("LOG_FILE", file), ("DATABASE_URL", "postgres://u@h/d")]);
        assert_eq!(output.status.code(), Some(78));
        assert!(text(&output).contains("LOG_FILE: cannot be written"), "{}", text(&output));
    }
}
