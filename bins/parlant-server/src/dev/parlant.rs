//! A real Parlant for `dev --parlant`, with a stand-in for the model: it needs neither a network nor a key.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use parlant_engine::{Config, Engine};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const SERVER: &str = include_str!("../../../../e2e/parlant/stub.py");
/// The shell script that runs it, and ends it when we end.
const LEASH: &str = include_str!("leash.sh");

/// How long it may take to start; it has much to read.
const PATIENCE: Duration = Duration::from_mins(2);
/// The script kills what does not stop within 5 s.
const STOP_PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(200);

/// Runs as long as it is held: the script at the other end of the pipe to `child` sees to it.
pub(crate) struct Parlant {
    child: Child,
    url: String,
}

impl Parlant {
    pub(crate) async fn start(python: Option<PathBuf>, data_dir: &Path) -> anyhow::Result<Self> {
        let python = find(python, data_dir).await?;
        let home = data_dir.join("parlant");
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let (script, log) = (home.join("server.py"), home.join("output.log"));
        let output = fs::write(&script, SERVER).and_then(|()| File::create(&log)).context("cannot prepare Parlant")?;
        let (port, tool_port) = (free_port()?, free_port()?);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LEASH, "parlant"]).arg(python).arg(&script).env_clear();
        #[expect(
            clippy::disallowed_methods,
            reason = "Python needs the surroundings of whoever runs it, none of our settings"
        )]
        for name in ["PATH", "HOME", "LANG", "LD_LIBRARY_PATH"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .envs([("STUB_FAST", "1"), ("PYTHONUNBUFFERED", "1")])
            .env("PARLANT_HOME", &home)
            .env("PARLANT_PORT", port.to_string())
            .env("PARLANT_TOOL_PORT", tool_port.to_string())
            // A group of its own: Ctrl-C in a terminal must not stop it before us.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut parlant = Self { child: command.spawn()?, url: format!("http://127.0.0.1:{port}") };
        tracing::info!("Waiting for Parlant");
        parlant.ready().await.with_context(|| format!("Parlant does not start; see {}", log.display()))?;
        Ok(parlant)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let engine = Engine::new(&Config::new(&*self.url))?;
        let deadline = Instant::now() + PATIENCE;
        while engine.health().await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            if Instant::now() > deadline {
                bail!("it does not answer");
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Stops it and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        // To wait closes the pipe.
        let _ = timeout(STOP_PATIENCE, self.child.wait()).await;
    }
}

/// The first of the usual Pythons that has Parlant, or the one that was asked for.
async fn find(asked: Option<PathBuf>, data_dir: &Path) -> anyhow::Result<PathBuf> {
    let own = data_dir.join("python");
    // The second is that of `e2e/parlant/run`.
    let usual = || vec![own.join("bin/python"), "target/parlant-3.3.2/bin/python".into(), "python3".into()];
    for python in asked.map_or_else(usual, |asked| vec![asked]) {
        let look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('parlant') is None)";
        let look = Command::new(&python).args(["-c", look]).stdin(Stdio::null()).stderr(Stdio::null()).status().await;
        if look.is_ok_and(|status| status.success()) {
            return Ok(python);
        }
    }
    bail!(
        "no Python with Parlant was found. To get one (1.1 GB):\n  \
         python3 -m venv {own} && {own}/bin/pip install parlant==3.3.2 'fastapi<0.137'\n\
         Or name one with PARLANT_PYTHON.",
        own = own.display()
    )
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
