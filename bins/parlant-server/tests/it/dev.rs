use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{PATIENCE, Running, program, text};
use crate::serve::client;

pub(crate) fn dev(directory: &Path, more: &[&str]) -> Running {
    let arguments = [&["dev", "--port", "0"], more].concat();
    Running::start(program(directory, &arguments, &[]), directory)
}

pub(crate) async fn handout(server: &mut Running, directory: &Path) -> Value {
    server.address().await;
    server.wait_for(|log| log.contains("Stop with Ctrl-C").then_some(())).await;
    serde_json::from_str(&std::fs::read_to_string(directory.join(".parlant/dev.json")).unwrap()).unwrap()
}

pub(crate) async fn stop(mut server: Running) {
    server.signal(Signal::INT);
    assert_eq!(server.ended().await, Some(0), "{}", server.log());
}

/// Runs the printed commands as somebody who pastes them would.
fn paste(log: &str) -> String {
    let commands = log.lines().skip_while(|line| !line.starts_with("call()"));
    let commands: Vec<_> = commands.take_while(|line| !line.starts_with("Stop")).collect();
    let output = Command::new("bash").args(["-c", &commands.join("\n")]).stdin(Stdio::null()).output().unwrap();
    text(&output)
}

fn agents(handout: &Value) -> usize {
    let at = |name: &str| handout[name].as_str().unwrap().to_owned();
    let header = format!("Authorization: Bearer {}", at("token"));
    let output = Command::new("curl")
        .args(["-sf", "-H", &header, &format!("{}/api/v1/agents", at("base_url"))])
        .output()
        .unwrap();
    serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap().len()
}

#[tokio::test]
async fn the_printed_commands_make_an_agent_a_session_and_a_message_which_outlive_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = dev(directory.path(), &[]);
    let first = handout(&mut server, directory.path()).await;
    let answers = paste(&server.log());
    assert!(answers.contains(r#""content":"(echo) Hello!""#), "{answers}");
    assert_eq!(agents(&first), 2, "one to begin with, and one of ours");
    let mode = std::fs::metadata(directory.path().join(".parlant/dev.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.signal(Signal::KILL);
    server.ended().await;

    let mut server = dev(directory.path(), &[]);
    let second = handout(&mut server, directory.path()).await;
    assert_eq!(second["token"], first["token"]);
    assert_eq!(agents(&second), 2);
    stop(server).await;

    let mut server = dev(directory.path(), &["--fresh"]);
    let third = handout(&mut server, directory.path()).await;
    assert_ne!(third["token"], first["token"]);
    assert_eq!(agents(&third), 1);
    stop(server).await;
}

#[tokio::test]
async fn an_ordinary_user_can_run_it() {
    let directory = world_open_directory();
    let binary = directory.path().join("parlant-server");
    std::fs::copy(env!("CARGO_BIN_EXE_parlant-server"), &binary).unwrap();
    let mut command = Command::new(&binary);
    command.args(["dev", "--port", "0"]).current_dir(directory.path()).env("TMPDIR", directory.path());
    // Somebody who is not root runs the tests as an ordinary user already.
    if std::fs::metadata(directory.path()).unwrap().uid() == 0 {
        chown(directory.path(), Some(65534), Some(65534)).unwrap();
        command.uid(65534).gid(65534);
    }
    let mut server = Running::start(command, directory.path());
    handout(&mut server, directory.path()).await;
    let answers = paste(&server.log());
    assert!(answers.contains(r#""content":"(echo) Hello!""#), "{answers}");
    stop(server).await;
}

fn world_open_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn without_postgresqls_programs_the_message_names_the_package() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().display().to_string();
    let output = program(directory.path(), &["dev", "--port", "0"], &[("PG_BIN_DIR", &nowhere)])
        .env("PG_BIN_DIR", &nowhere)
        .output()
        .unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("PG_BIN_DIR"), "{text}");
}

#[test]
fn without_parlant_the_message_says_how_to_get_it() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = [("PARLANT_PYTHON", "/nowhere/python")];
    let output = program(directory.path(), &["dev", "--port", "0", "--parlant"], &nowhere).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("pip install parlant==3.3.2 'fastapi<0.137'"), "{text}");
    assert!(text.contains("PARLANT_PYTHON"), "{text}");
}

#[tokio::test]
async fn the_page_at_the_root_signs_in_whoever_is_on_this_machine() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = dev(directory.path(), &[]);
    let handout = handout(&mut server, directory.path()).await;
    let url = handout["base_url"].as_str().unwrap();
    assert!(
        server.log().contains(&format!("{url}/\n"))
            || server.log().contains(&format!(
                "{url}/
"
            ))
    );
    let page = client().get(url).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let agents = client().get(format!("{url}/api/v1/agents")).header("cookie", cookie).send().await.unwrap();
    let agents: Vec<Value> = agents.json().await.unwrap();
    assert_eq!(agents.len(), 1, "{agents:?}");
    stop(server).await;
}

#[tokio::test]
async fn two_at_once_in_one_directory_are_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = dev(directory.path(), &[]);
    handout(&mut server, directory.path()).await;
    let second = tokio::time::timeout(PATIENCE, async {
        let mut command = tokio::process::Command::from(program(directory.path(), &["dev", "--port", "0"], &[]));
        command.output().await.unwrap()
    });
    let second = second.await.unwrap();
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    stop(server).await;
}
