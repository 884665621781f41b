//! `dev` with a real Parlant. `e2e/parlant/run` says which Python has one.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(3);

fn until<T>(what: &str, patience: Duration, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// `dev --parlant` in this directory, once it serves.
fn dev(directory: &Path) -> Child {
    let log = File::create(directory.join("log")).unwrap();
    let mut dev = Command::new(env!("CARGO_BIN_EXE_parlant-server"))
        .args(["dev", "--port", "0", "--parlant"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    until("serving", PATIENCE, || {
        assert!(dev.try_wait().unwrap().is_none(), "{}", said(directory));
        said(directory).contains("Stop with Ctrl-C").then_some(())
    });
    dev
}

fn said(directory: &Path) -> String {
    fs::read_to_string(directory.join("log")).unwrap()
}

/// How many processes were started with this directory's script.
fn parlants(directory: &Path) -> usize {
    let script = ".parlant/parlant/server.py";
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let of_ours = |process: &Path| {
        let cwd = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == directory);
        cwd && fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.contains(script))
    };
    processes.filter(|process| of_ours(process)).count()
}

#[test]
fn a_real_parlant_answers_in_dev_and_is_gone_whatever_ends_dev() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().canonicalize().unwrap();
    let mut first = dev(&directory);
    let log = said(&directory);
    let commands = log.lines().skip_while(|line| !line.starts_with("call()"));
    let commands: Vec<_> = commands.take_while(|line| !line.starts_with("Stop")).collect();
    let output = Command::new("bash").args(["-c", &commands.join("\n")]).stdin(Stdio::null()).output().unwrap();
    let answers = String::from_utf8_lossy(&output.stdout);
    assert!(answers.contains(r#""content":"Stub reply to: Hello!""#), "{answers}");
    let handout: Value =
        serde_json::from_str(&fs::read_to_string(directory.join(".parlant/dev.json")).unwrap()).unwrap();
    assert!(handout["engine_url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(parlants(&directory) > 0);

    first.kill().unwrap();
    first.wait().unwrap();
    until("Parlant is gone after kill -9", Duration::from_secs(15), || (parlants(&directory) == 0).then_some(()));

    let mut second = dev(&directory);
    assert!(parlants(&directory) > 0);
    kill_process(Pid::from_child(&second), Signal::INT).unwrap();
    let ended = until("dev ends", Duration::from_secs(30), || second.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0), "{}", said(&directory));
    assert_eq!(parlants(&directory), 0, "when dev has ended, so has Parlant");
}
