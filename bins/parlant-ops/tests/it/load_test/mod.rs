//! `parlant-ops load-test`.

mod outcome;
mod report;
mod secret;
mod server;
mod sockets;

use std::process::{Command, Output};

use server::Server;

/// The program, to be run against this server.
fn load_test(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlant-ops"));
    command.args(["load-test", "--url", &server.url()]).args(arguments).env_clear();
    command
}

fn report(output: &Output) -> serde_json::Value {
    assert!(output.stderr.is_empty(), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A file of scenarios that asks for `path`.
fn scenario_file(path: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let scenario = serde_json::json!({ "name": "only", "path": path });
    serde_json::to_writer(&file, &serde_json::json!({ "scenarios": [scenario] })).unwrap();
    file
}
