//! The real binary, run as its users run it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The longest that anything here waits; a healthy machine needs a fraction.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The binary with no settings but these, in an empty directory.
pub(crate) fn program(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlant-server"));
    command.args(arguments).current_dir(directory).env_clear().envs(environment.iter().copied());
    for kept in ["PATH", "TMPDIR", "PG_BIN_DIR"] {
        #[expect(clippy::disallowed_methods, reason = "the binary under test needs the tests' own surroundings")]
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn output(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    program(directory.path(), arguments, environment).output().unwrap()
}

/// Standard output and standard error as one text.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that runs until it is stopped or dropped; its output goes to files.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(mut command: Command, directory: &Path) -> Self {
        command.stdin(Stdio::null());
        Self::inheriting(command, directory)
    }

    /// With the standard input of the command.
    pub(crate) fn inheriting(mut command: Command, directory: &Path) -> Self {
        let log = directory.join("log");
        let file = std::fs::File::create(&log).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log has what `find` looks for.
    pub(crate) async fn wait_for<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(found) = find(&log) {
                return found;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {log}");
            assert!(Instant::now() < deadline, "{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it says where it serves.
    pub(crate) async fn address(&mut self) -> String {
        let address = |log: &str| {
            let line = log.lines().find(|line| line.contains(r#""message":"Serving""#))?;
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(format!("http://{}", line["address"].as_str()?))
        };
        self.wait_for(address).await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code once it has ended by itself.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
