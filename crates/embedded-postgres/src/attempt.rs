use std::{path::PathBuf, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{NoTls, error::SqlState};

use crate::{
    Error, Installation, Options,
    cluster::SUPERUSER,
    home::{Home, postmaster_pid},
    lock::Lock,
    supervisor::{Supervisor, socket_dir},
};

/// A first start takes a second or two; the recovery of a busy database some more.
const START_PATIENCE: Duration = Duration::from_mins(2);

/// A server that refuses the password this long is not starting; it has another one.
const PASSWORD_PATIENCE: Duration = Duration::from_secs(5);

/// For one connection attempt: a server that recovers may accept and stay silent.
const KNOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Between connection attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// One attempt to start, on one port.
pub(crate) struct Attempt<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) options: &'a Options,
    pub(crate) home: &'a Home,
    pub(crate) password: String,
    pub(crate) port: u16,
}

/// A server that lets us in.
pub(crate) struct Running {
    pub(crate) supervisor: Supervisor,
    pub(crate) sockets: PathBuf,
    pub(crate) port: u16,
    pub(crate) password: String,
    pub(crate) pid: u32,
}

/// What a connection attempt tells.
enum Answer {
    Welcome,
    Refused,
    NotYet,
}

impl Attempt<'_> {
    /// Starts PostgreSQL, which holds `lock` as long as it lives, and waits until it serves.
    pub(crate) async fn run(self, lock: Option<Lock>) -> Result<Running, Error> {
        if !self.home.account.enters(self.installation.bin_dir()) {
            return Err(Error::Refused(format!(
                "PostgreSQL runs as user {}, who cannot enter {}; give that user access (chmod o+x on it and the \
                 directories above it), or set PG_BIN_DIR to another installation",
                self.home.account.uid,
                self.installation.bin_dir().display()
            )));
        }
        let sockets = socket_dir(&self.home.dir);
        let mut supervisor = Supervisor::start(&self, &sockets, lock)?;
        let pid = self.until_ready(&mut supervisor).await?;
        Ok(Running { supervisor, sockets, port: self.port, password: self.password, pid })
    }

    /// Waits until the server lets us in; that the password is right proves that it is ours.
    async fn until_ready(&self, supervisor: &mut Supervisor) -> Result<u32, Error> {
        let dir = self.home.dir.clone();
        let started = Instant::now();
        let mut refused: Option<Instant> = None;
        loop {
            if let Some(log) = supervisor.ended() {
                return Err(Error::Start { problem: "did not start", dir, log });
            }
            match self.knock().await {
                Answer::Welcome => {
                    if let Some(pid) = postmaster_pid(&dir.join("data")) {
                        return Ok(pid);
                    }
                }
                // For a moment it may be somebody else's server, while ours finds the port taken.
                Answer::Refused if refused.get_or_insert_with(Instant::now).elapsed() > PASSWORD_PATIENCE => {
                    return Err(Error::password(&dir.join("password"), "the server refuses it"));
                }
                Answer::Refused | Answer::NotYet => {}
            }
            if started.elapsed() > START_PATIENCE {
                let log = supervisor.stop().await.unwrap_or_default();
                return Err(Error::Start { problem: "was not ready in time", dir, log });
            }
            sleep(PAUSE).await;
        }
    }

    async fn knock(&self) -> Answer {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(SUPERUSER)
            .password(&self.password)
            .dbname("postgres")
            .application_name("parlant-embedded-postgres");
        let visit = async {
            let (client, connection) = config.connect(NoTls).await?;
            drop(client);
            connection.await
        };
        match timeout(KNOCK_PATIENCE, visit).await {
            Ok(Ok(())) => Answer::Welcome,
            Ok(Err(error)) if error.code() == Some(&SqlState::INVALID_PASSWORD) => Answer::Refused,
            _ => Answer::NotYet,
        }
    }
}
