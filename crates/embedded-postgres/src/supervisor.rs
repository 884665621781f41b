use std::{
    env,
    ffi::OsString,
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::time::{Instant, sleep};

use crate::{Error, Options, attempt::Attempt, lock::Lock};

/// The shell script that starts PostgreSQL, and ends it when we end.
const SCRIPT: &str = include_str!("supervise.sh");

/// The script kills what does not stop within 30 s.
const STOP_PATIENCE: Duration = Duration::from_secs(40);

/// How often to look whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// The variables that PostgreSQL's programs need. All others, our secrets among them, stay with us.
const PASSED_ON: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];

/// The longest path of a unix socket that every system takes (macOS; Linux takes 107 bytes).
const SOCKET_PATH_MAX: usize = 103;

/// A running script: alive as long as its PostgreSQL is.
#[derive(Debug)]
pub(crate) struct Supervisor {
    child: Child,
    /// Closing it is the order to stop; the kernel does so when we are killed.
    leash: Option<ChildStdin>,
}

impl Supervisor {
    /// Starts the script. Every process of PostgreSQL's will hold `lock` as long as it lives.
    pub(crate) fn start(attempt: &Attempt<'_>, sockets: &Path, lock: Option<Lock>) -> Result<Self, Error> {
        let Options { data_dir, durable, settings } = attempt.options;
        let yes_or_no = |value| if value { "yes" } else { "no" };
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "parlant-postgres"])
            .arg(attempt.installation.bin_dir())
            .arg(&attempt.home.dir)
            .arg(sockets)
            .args([yes_or_no(data_dir.is_none()), yes_or_no(*durable)])
            .arg(attempt.port.to_string());
        for (name, value) in own_settings(*durable) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
            .env_clear()
            .envs(passed_on())
            .env("LC_ALL", "C")
            .current_dir("/")
            // A group of its own: Ctrl-C in a terminal must not stop it before us.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(lock.map_or_else(Stdio::null, |lock| Stdio::from(lock.into_file())))
            .stderr(Stdio::piped());
        attempt.home.account.apply(&mut command);
        let mut child = command.spawn().map_err(Error::io("run", Path::new("/bin/sh")))?;
        let mut leash = child.stdin.take();
        if let Some(leash) = &mut leash {
            // If the script is gone already, its end says why.
            let _ = writeln!(leash, "{}", attempt.password);
        }
        Ok(Self { child, leash })
    }

    /// The end of PostgreSQL's log, if the run has ended.
    pub(crate) fn ended(&mut self) -> Option<String> {
        // An error means that there is nothing to wait for: ended and collected by somebody else.
        if let Ok(None) = self.child.try_wait() {
            return None;
        }
        let mut log = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_end(&mut log);
        }
        Some(String::from_utf8_lossy(&log).trim_end().to_owned())
    }

    /// Stops PostgreSQL and waits until it is gone; the end of its log, or `None` if that took too long.
    pub(crate) async fn stop(&mut self) -> Option<String> {
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
    /// Gives the order to stop, which is carried out without us.
    fn drop(&mut self) {
        self.leash = None;
        let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) else {
            return;
        };
        if let Ok(None) = self.child.try_wait() {
            // Somebody must collect the exit status, or a zombie stays as long as we live.
            let collect = move || waitpid(Some(pid), WaitOptions::empty());
            let _ = thread::Builder::new().name("postgres-reaper".to_owned()).spawn(collect);
        }
    }
}

/// What every cluster is configured with; the caller's settings come later and win. Without `fsync` a
/// commit still reaches the operating system, so a killed PostgreSQL loses nothing.
fn own_settings(durable: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let always = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_permissions", "0700"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_destination", "stderr"),
        ("logging_collector", "off"),
    ];
    let fast = [("fsync", "off"), ("full_page_writes", "off")];
    always.into_iter().chain(fast.into_iter().filter(move |_| !durable))
}

#[expect(clippy::disallowed_methods, reason = "these are the system's, not settings of ours")]
fn passed_on() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED_ON.into_iter().filter_map(|name| Some((name, env::var_os(name)?)))
}

/// Where the unix socket of the cluster in `home` goes: inside, or where the path is short enough.
pub(crate) fn socket_dir(home: &Path) -> PathBuf {
    let inside = home.join("sockets");
    if inside.join(".s.PGSQL.65535").as_os_str().len() <= SOCKET_PATH_MAX {
        return inside;
    }
    Path::new("/tmp").join(format!("parlant-{:016x}", rand::random::<u64>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_leave_the_home_when_their_path_would_be_too_long() {
        let short = Path::new("/home/ada/project/.parlant/cluster");
        assert_eq!(socket_dir(short), short.join("sockets"));
        let long = Path::new("/").join("d".repeat(90));
        assert!(socket_dir(&long).starts_with("/tmp"));
    }
}
