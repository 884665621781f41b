use std::{
    env,
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{Error, account::Account, installation::Installation};

/// The shell script that starts PostgreSQL and ends it when we end.
const SCRIPT: &str = include_str!("supervise.sh");

/// What the script says when it could not make a temporary directory.
const NO_DIRECTORY: i32 = 3;

/// The script gives PostgreSQL 30 s before it kills it.
const STOP_PATIENCE: Duration = Duration::from_secs(40);

const PAUSE: Duration = Duration::from_millis(10);

/// Variables that PostgreSQL's programs keep; all others (our secrets among them) stay with us.
const KEPT_VARIABLES: [&str; 4] = [
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
];

/// One run of PostgreSQL.
pub(crate) struct Launch<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) account: Option<Account>,
    pub(crate) home: &'a Path,
    pub(crate) sockets: &'a Path,
    pub(crate) temporary: bool,
    pub(crate) durable: bool,
    pub(crate) port: u16,
    pub(crate) settings: &'a [(String, String)],
    pub(crate) password: &'a str,
    /// Held as long as anything of this run lives.
    pub(crate) lock: Option<File>,
}

/// The running script: alive as long as its PostgreSQL is.
#[derive(Debug)]
pub(crate) struct Supervisor {
    child: Child,
    /// Closing it, or dying, is the order to stop.
    leash: Option<ChildStdin>,
}

/// How a supervisor ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The end of PostgreSQL's log.
    pub(crate) log: String,
    /// The temporary directory could not be made where it was wanted.
    pub(crate) no_directory: bool,
}

impl Ended {
    /// Another process was given the port between our choice and PostgreSQL's use of it.
    pub(crate) fn lost_the_port(&self) -> bool {
        self.log.contains("could not create any TCP/IP sockets")
    }
}

impl Launch<'_> {
    pub(crate) fn start(self) -> Result<Supervisor, Error> {
        let yes_or_no = |value| if value { "yes" } else { "no" };
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "parlant-postgres"])
            .arg(self.installation.bin_dir())
            .arg(self.home)
            .arg(self.sockets)
            .args([yes_or_no(self.temporary), yes_or_no(self.durable)])
            .arg(self.port.to_string())
            .env_clear()
            .envs(kept_variables())
            .env("LC_ALL", "C")
            .current_dir("/")
            // Its own group: what a terminal sends to ours (Ctrl-C) must not stop it before us.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(self.lock.map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::piped());
        for (name, value) in own_settings(self.durable) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if let Some(account) = self.account {
            account.drop_privileges(&mut command);
        }
        let mut child = command
            .spawn()
            .map_err(Error::io("run", Path::new("/bin/sh")))?;
        let mut leash = child.stdin.take();
        if let Some(leash) = &mut leash {
            // A script that is gone already says why when it is asked for its end.
            let _ = writeln!(leash, "{}", self.password);
        }
        Ok(Supervisor { child, leash })
    }
}

/// What every cluster of ours is configured with.
fn own_settings(durable: bool) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_permissions", "0700"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
    ];
    if !durable {
        settings.extend([
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ]);
    }
    settings
}

#[expect(
    clippy::disallowed_methods,
    reason = "these belong to the system, not to our settings"
)]
fn kept_variables() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    KEPT_VARIABLES
        .into_iter()
        .filter_map(|name| Some((name, env::var_os(name)?)))
}

impl Supervisor {
    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        let status = self.child.try_wait().ok().flatten()?;
        let mut log = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_end(&mut log);
        }
        Some(Ended {
            log: String::from_utf8_lossy(&log).trim_end().to_owned(),
            no_directory: status.code() == Some(NO_DIRECTORY),
        })
    }

    /// Stops PostgreSQL and waits until it is gone.
    pub(crate) async fn stop(&mut self) -> Option<Ended> {
        self.leash = None;
        let deadline = Instant::now() + STOP_PATIENCE;
        loop {
            match self.ended() {
                None if Instant::now() < deadline => sleep(PAUSE).await,
                ended => return ended,
            }
        }
    }
}

impl Drop for Supervisor {
    /// The order to stop; it is carried out without us.
    fn drop(&mut self) {
        self.leash = None;
        if let Ok(None) = self.child.try_wait() {
            reap(self.child.id());
        }
    }
}

/// Collects the exit status of a child that ends later, so that no zombie stays.
fn reap(pid: u32) {
    let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) else {
        return;
    };
    std::thread::spawn(move || {
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
    });
}

/// The longest path of a unix socket: 107 bytes and a zero on Linux, 103 on macOS.
const SOCKET_PATH_MAX: usize = 103;

/// Where the unix sockets of the cluster in `home` go: inside, or in a short place of their own.
pub(crate) fn socket_dir(home: &Path) -> PathBuf {
    let inside = home.join("sockets");
    if inside.join(".s.PGSQL.65535.lock").as_os_str().len() <= SOCKET_PATH_MAX {
        return inside;
    }
    Path::new("/tmp").join(format!("parlant-{:016x}", rand::random::<u64>()))
}
