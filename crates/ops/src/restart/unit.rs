use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use tokio::process::Command;
use tokio::time::timeout;

use super::checks::Finding;
use super::{Grade, environment};

/// Longest question to systemd; it answers in milliseconds.
const QUESTION: Duration = Duration::from_secs(10);
const PROPERTIES: &str = "LoadState,ActiveState,SubState,MainPID,ExecStart,User,Environment,EnvironmentFiles,\
                          WorkingDirectory,NeedDaemonReload";

/// A unit of systemd, reached by `systemctl`.
pub(super) struct Unit(String);

/// Why `systemctl` did not do it.
pub(super) enum Refusal {
    Permission(String),
    Other(String),
}

/// What systemd knows of a unit.
#[derive(Debug, Default)]
pub(super) struct Properties {
    values: BTreeMap<String, String>,
    /// With whether each may be missing.
    environment_files: Vec<(PathBuf, bool)>,
}

impl Unit {
    pub(super) fn new(name: &str) -> Self {
        Self(name.strip_suffix(".service").unwrap_or(name).to_owned())
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    fn systemctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("systemctl");
        command.args(arguments).arg("--").arg(format!("{}.service", self.0));
        command.stdin(Stdio::null()).env("LC_ALL", "C").kill_on_drop(true);
        command
    }

    /// Has something done, for as long as that takes.
    pub(super) async fn act(&self, verb: &str) -> Result<(), Refusal> {
        let output = self.systemctl(&["--no-ask-password", verb]).output().await;
        let output = output.map_err(|error| Refusal::Other(format!("systemctl: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = one_line(&output.stderr);
        let permission = ["authentication required", "Access denied", "Permission denied", "not permitted"];
        Err(if permission.iter().any(|words| said.contains(words)) {
            Refusal::Permission(said)
        } else {
            Refusal::Other(said)
        })
    }

    pub(super) async fn properties(&self) -> io::Result<Properties> {
        let question = self.systemctl(&["show", &format!("--property={PROPERTIES}")]).output();
        let output = timeout(QUESTION, question).await.map_err(|_| io::Error::other("systemd does not answer"))?;
        let output = output.map_err(|error| io::Error::other(format!("systemctl: {error}")))?;
        if !output.status.success() {
            return Err(io::Error::other(one_line(&output.stderr)));
        }
        let properties = Properties::parse(&String::from_utf8_lossy(&output.stdout));
        match properties.value("LoadState") {
            "loaded" => Ok(properties),
            state => Err(io::Error::other(format!("systemd does not have {}.service: {state}", self.0))),
        }
    }
}

impl Properties {
    fn parse(text: &str) -> Self {
        let mut properties = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            // One line for each file.
            if name == "EnvironmentFiles" {
                let (path, ignore) = value.split_once(" (").unwrap_or((value, ""));
                properties.environment_files.push((path.into(), ignore.contains("ignore_errors=yes")));
            } else {
                properties.values.insert(name.to_owned(), value.to_owned());
            }
        }
        properties
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// Whether it does, or is on its way to or from that.
    pub(super) fn is_running(&self) -> bool {
        !matches!(self.value("ActiveState"), "inactive" | "failed")
    }

    pub(super) fn main_pid(&self) -> Option<u32> {
        self.value("MainPID").parse().ok().filter(|&pid| pid > 0)
    }

    /// What the unit starts.
    pub(super) fn program(&self) -> Option<&Path> {
        let (path, _) = self.value("ExecStart").split_once("path=")?.1.split_once(' ')?;
        Some(Path::new(path))
    }

    pub(super) fn user(&self) -> Option<&str> {
        Some(self.value("User")).filter(|user| !user.is_empty())
    }

    pub(super) fn working_directory(&self) -> &Path {
        let path = self.value("WorkingDirectory").trim_start_matches('!');
        Path::new(if path.starts_with('/') { path } else { "/" })
    }

    /// Where the unit is now, beside where it was.
    pub(super) fn state(&self, before: &Self) -> String {
        let process = match (before.main_pid(), self.main_pid()) {
            (Some(before), Some(now)) if before == now => format!("process {now}, which ran before, still runs"),
            (_, Some(now)) => format!("process {now} runs"),
            (_, None) => "no process runs".to_owned(),
        };
        format!("{} ({}), {process}", self.value("ActiveState"), self.value("SubState"))
    }

    pub(super) fn findings(&self, name: &str) -> Vec<Finding> {
        let mut findings = vec![Finding::new(Grade::Ok, "unit", self.state(self))];
        if self.value("NeedDaemonReload") == "yes" {
            let detail = format!("{name}.service has changed on disk: systemctl daemon-reload makes it count");
            findings.push(Finding::new(Grade::Warning, "unit", detail));
        }
        findings
    }

    /// The variables that the service is started with, the later ones counting; and what could not be read of them.
    pub(super) fn environment(&self) -> (Vec<(String, String)>, Vec<Finding>) {
        let mut variables = environment::listed(self.value("Environment"));
        let mut unread = Vec::new();
        for (path, may_be_missing) in &self.environment_files {
            match fs::read_to_string(path) {
                Ok(text) => variables.extend(environment::file(&text)),
                Err(error) if *may_be_missing && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let missing = error.kind() == io::ErrorKind::NotFound;
                    let detail = format!("{}: {error}", path.display());
                    unread.push(Finding::new(
                        if missing { Grade::Failed } else { Grade::Warning },
                        "environment",
                        detail,
                    ));
                }
            }
        }
        (variables, unread)
    }

    /// Copies the program that runs beside the one that would start, where those are two.
    pub(super) async fn keep_program(&self) -> Option<io::Result<PathBuf>> {
        let program = self.program()?.to_owned();
        let running = PathBuf::from(format!("/proc/{}/exe", self.main_pid()?));
        let (old, new) = (fs::metadata(&running).ok()?, fs::metadata(&program).ok()?);
        if (old.dev(), old.ino()) == (new.dev(), new.ino()) {
            return None;
        }
        let mut kept = program.into_os_string();
        kept.push(".previous");
        let kept = PathBuf::from(kept);
        Some(tokio::fs::copy(running, &kept).await.map(|_| kept))
    }
}

pub(super) fn one_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_shows_is_understood() {
        let properties = Properties::parse(
            "LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=42\nUser=parlant\n\
             ExecStart={ path=/usr/local/bin/parlant-server ; argv[]=/usr/local/bin/parlant-server serve ; ignore_errors=no }\n\
             Environment=A=1 \"B=two words\"\nEnvironmentFiles=/nowhere/one.env (ignore_errors=no)\n\
             EnvironmentFiles=/nowhere/two.env (ignore_errors=yes)\nWorkingDirectory=/etc/parlant\nNeedDaemonReload=yes\n",
        );
        assert!(properties.is_running());
        assert_eq!((properties.main_pid(), properties.user()), (Some(42), Some("parlant")));
        assert_eq!(properties.program(), Some(Path::new("/usr/local/bin/parlant-server")));
        assert_eq!(properties.working_directory(), Path::new("/etc/parlant"));
        let (variables, unread) = properties.environment();
        assert_eq!(variables, [("A".into(), "1".into()), ("B".into(), "two words".into())]);
        assert_eq!(unread.len(), 1);
        assert!(unread[0].detail.starts_with("/nowhere/one.env: "), "{}", unread[0].detail);
        assert_eq!(properties.findings("x").len(), 2);
        let stopped = Properties::parse("ActiveState=inactive\nMainPID=0\nExecStart=\nWorkingDirectory=\n");
        assert_eq!((stopped.is_running(), stopped.main_pid(), stopped.program()), (false, None, None));
        assert_eq!(stopped.working_directory(), Path::new("/"));
    }
}
