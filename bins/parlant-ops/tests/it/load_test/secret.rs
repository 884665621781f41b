use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Server, load_test, scenario_file, text};

const CANARY: &str = "canary-hunter2";

#[test]
fn the_token_is_sent_and_appears_nowhere_else() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, format!("{CANARY}\n")).unwrap();
    let dev = serde_json::json!({ "base_url": server.url(), "token": CANARY, "user_id": "demo" });
    fs::write(folder.path().join("dev.json"), dev.to_string()).unwrap();

    let by_dev = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlant-ops"));
        command.args(["load-test", "--requests", "5", "--dev"]).arg(folder.path()).env_clear();
        command
    };
    let by_file = || load_test(&server, &["--requests", "5", "--token-file", file.to_str().unwrap()]);
    let by_environment = || {
        let mut command = load_test(&server, &["--requests", "5"]);
        command.env("PARLANT_TOKEN", CANARY);
        command
    };
    let commands: [&dyn Fn() -> Command; 3] = [&by_dev, &by_file, &by_environment];
    for (index, command) in commands.into_iter().enumerate() {
        let before = server.requests().len();
        // 503 makes it fail, and tell of it.
        for json in [false, true] {
            let output = command().args(json.then_some("--json")).output().unwrap();
            assert_eq!(output.status.code(), Some(99), "{index}: {}", text(&output));
            assert!(!text(&output).contains(CANARY), "{}", text(&output));
        }
        let requests = server.requests();
        let bearing = |path: &str, wanted: bool| {
            let asked = requests[before..].iter().filter(|head| head.starts_with(&format!("GET {path} ")));
            asked.filter(|head| head.contains(&format!("authorization: Bearer {CANARY}\r\n")) == wanted).count()
        };
        assert_eq!((bearing("/health", false), bearing("/api/v1/agents", true)), (10, 10), "{requests:?}");
    }

    for (name, text_of_file) in
        [("dev.json", "[\"canary-hunter2\"]"), ("dev.json", "{\"base_url\": 5, \"token\": \"canary-hunter2\"}")]
    {
        fs::write(folder.path().join(name), text_of_file).unwrap();
        let output = by_dev().output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains("is not what `parlant-server dev` writes"), "{}", text(&output));
        assert!(!text(&output).contains("hunter2"), "{}", text(&output));
    }
    let output = by_environment().env("PARLANT_TOKEN", format!("{CANARY}\u{7f}")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!text(&output).contains("hunter2"), "{}", text(&output));
}

#[test]
fn who_lists_the_processes_does_not_see_the_token() {
    let server = Server::start();
    let hanging = scenario_file("/hanging");
    let arguments = ["--scenarios", hanging.path().to_str().unwrap(), "--concurrency", "1", "--duration", "1h"];
    let mut command = load_test(&server, &arguments);
    let mut child = command.env("PARLANT_TOKEN", CANARY).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while server.requests().is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let line = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let line = String::from_utf8(line).unwrap();
    assert!(line.contains("load-test") && !line.contains("hunter2"), "{line}");
}
