//! The server as the unit of a systemd of ours.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use parlant_test_support::ChaosProxy;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;

use crate::deployment::{Deployment, free_port, path_variable, server_program, start_id};

pub(crate) const METRICS_TOKEN: &str = "scrape-canary-5f2b";

pub(crate) struct Service {
    pub(crate) deployment: Deployment,
    pub(crate) proxy: ChaosProxy,
    pub(crate) unit: String,
    pub(crate) url: String,
}

impl Service {
    /// It does not run yet.
    pub(crate) async fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let port = free_port();
        let deployment = Deployment::new(&format!("PORT={port}\nSHUTDOWN_GRACE=5s\nLOG_FILE=server.log")).await;
        let unit = format!("parlant-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let proxy = ChaosProxy::start(deployment.database.address()).await;
        let service = Self { deployment, proxy, unit, url: format!("http://127.0.0.1:{port}") };
        let through = service.deployment.database.url_through(service.proxy.address());
        service.write("server.env", &format!("METRICS_TOKEN={METRICS_TOKEN}\nDATABASE_URL=\"{through}\"\n"));
        let Self { unit, url, .. } = &service;
        service.write("unit", &format!("UNIT={unit}\nURL={url}\nPROGRAM={}\n", service.program().display()));
        fs::create_dir(service.path("bin")).unwrap();
        let script = service.path("bin/systemctl");
        fs::write(&script, include_str!("systemctl.sh")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        service.install(|program| {
            fs::copy(server_program(), program).unwrap();
        });
        service
    }

    /// One that runs, and its `start_id`.
    pub(crate) async fn running() -> (Self, String) {
        let service = Self::new().await;
        let started = service.systemctl("start").await;
        assert!(started.status.success(), "{started:?} {}", service.read("log"));
        let id = start_id(&service.url).await.unwrap();
        (service, id)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.deployment.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// What the unit starts.
    pub(crate) fn program(&self) -> PathBuf {
        self.path("parlant-server")
    }

    /// As packages are installed: another file comes in the place of the old one.
    pub(crate) fn install(&self, make: impl FnOnce(&Path)) {
        let new = self.path("parlant-server.new");
        make(&new);
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.program()).unwrap();
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path_variable(&self.path("bin"))).current_dir(self.path("."));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    pub(crate) async fn systemctl(&self, verb: &str) -> Output {
        self.command(&self.path("bin/systemctl"))
            .args([verb, &format!("{}.service", self.unit)])
            .output()
            .await
            .unwrap()
    }

    pub(crate) async fn shell(&self, line: &str) -> Output {
        self.command(Path::new("sh")).args(["-c", line]).output().await.unwrap()
    }

    /// `parlant-ops restart`, which has not begun.
    pub(crate) fn restart(&self, more: &[&str]) -> Command {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_parlant-ops")));
        command.args(["restart", "--json", "--unit", &self.unit, "--url", &self.url, "--log-file"]);
        command.arg(self.path("logs/restart.log")).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Its exit code and its report.
    pub(crate) async fn restarted(&self, more: &[&str]) -> (i32, Value) {
        let output = self.restart(more).output().await.unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for secret in [METRICS_TOKEN, &self.deployment.database.url()] {
            assert!(!format!("{out}{err}{}", self.read("logs/restart.log")).contains(secret), "{out} {err}");
        }
        let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
        (output.status.code().unwrap(), report)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(pid) = self.read("pid").trim().parse().ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = fs::remove_file(format!("/run/lock/parlant-restart-{}", self.unit));
    }
}

/// What each step with that name came to.
pub(crate) fn steps<'a>(report: &'a Value, name: &str) -> Vec<(&'a str, &'a str)> {
    let text = |step: &'a Value, field: &str| step[field].as_str().unwrap();
    let steps = report["steps"].as_array().unwrap().iter().filter(|step| step["step"] == name);
    steps.map(|step| (text(step, "status"), text(step, "detail"))).collect()
}
