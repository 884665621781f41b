use std::{
    env, fmt,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{NoTls, error::SqlState};

use crate::{
    Error, Installation, Options,
    account::Account,
    home::{Request, postmaster_pid},
    lock::Lock,
    memory::Memory,
    supervisor::{Launch, Supervisor, socket_dir},
};

/// The superuser that every cluster has.
const SUPERUSER: &str = "postgres";

/// A first start takes a second or two; the recovery of a busy database some more.
const START_PATIENCE: Duration = Duration::from_mins(2);

/// A server that refuses the password this long is not starting; it has another one.
const PASSWORD_PATIENCE: Duration = Duration::from_secs(5);

/// For one connection attempt: a server that recovers may accept and stay silent.
const KNOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Between connection attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// How many free ports are tried when others are faster to take them.
const PORT_ATTEMPTS: u32 = 5;

/// A running private PostgreSQL.
///
/// Dropping it orders PostgreSQL to stop, and so does the end of this process, whatever ends it.
/// [`Cluster::stop`] also waits until it is gone.
pub struct Cluster {
    supervisor: Supervisor,
    sockets: PathBuf,
    port: u16,
    password: String,
    pid: u32,
    /// Stays with a persistent cluster, and is given up after the order to stop.
    _request: Option<Request>,
}

impl Cluster {
    /// Starts a cluster, making it first if it is not there.
    ///
    /// A persistent cluster whose former owner was killed is waited for and recovered. One that another
    /// live process owns is refused instead of shared: the end of its owner would take it away from us.
    ///
    /// # Errors
    /// See [`Error`]. A failed start reports the end of PostgreSQL's log.
    pub async fn start(installation: &Installation, options: Options) -> Result<Self, Error> {
        let cluster = match &options.data_dir {
            Some(dir) => Self::start_persistent(installation, &options, dir).await?,
            None => Self::start_temporary(installation, &options).await?,
        };
        tracing::debug!(
            version = installation.major_version(),
            port = cluster.port,
            pid = cluster.pid,
            "private PostgreSQL started"
        );
        Ok(cluster)
    }

    async fn start_persistent(
        installation: &Installation,
        options: &Options,
        dir: &Path,
    ) -> Result<Self, Error> {
        let request = Request::make(dir).await?;
        let home = request.home().await?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let lock = home.wait_for_former().await?;
            let memory = Memory::recall(&home.dir, installation)?;
            let kept_port = memory.as_ref().and_then(|memory| memory.port);
            let attempt = Attempt {
                installation,
                options,
                account: home.account,
                home: &home.dir,
                password: memory.map_or_else(new_password, |memory| memory.password),
                port: choose_port(kept_port.filter(|_| attempts == 1))?,
            };
            match attempt.run(Some(lock)).await {
                Err(error) if attempts < PORT_ATTEMPTS && lost_the_port(&error) => {}
                outcome => {
                    return outcome.map(|cluster| Self {
                        _request: Some(request),
                        ..cluster
                    });
                }
            }
        }
    }

    async fn start_temporary(
        installation: &Installation,
        options: &Options,
    ) -> Result<Self, Error> {
        let account = Account::for_new_cluster()?;
        // The account itself makes the directory, so that it can remove it when we are gone.
        let places = [env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
        let place = places.into_iter().find(|place| account.writes(place));
        let place = place.ok_or(Error::NoTemporaryPlace { uid: account.uid })?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let home = place.join(format!("parlant-postgres-{:016x}", rand::random::<u64>()));
            let attempt = Attempt {
                installation,
                options,
                account,
                home: &home,
                password: new_password(),
                port: choose_port(None)?,
            };
            match attempt.run(None).await {
                Err(error) if attempts < PORT_ATTEMPTS && lost_the_port(&error) => {}
                outcome => return outcome,
            }
        }
    }

    /// Removes the cluster in `data_dir` and all its data, wherever it was put. Without one nothing happens.
    ///
    /// # Errors
    /// [`Error::InUse`] when a live process owns it.
    pub async fn remove(data_dir: impl AsRef<Path>) -> Result<(), Error> {
        let Some(request) = Request::find(data_dir.as_ref()).await? else {
            return Ok(());
        };
        let Some(home) = request.existing_home()? else {
            return Ok(());
        };
        let _running = home.wait_for_former().await?;
        home.remove()?;
        request.forget()
    }

    /// A connection URL for the superuser, over TCP, with the password in it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let name: String = database
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                _ => format!("%{byte:02X}"),
            })
            .collect();
        format!(
            "postgresql://{SUPERUSER}:{}@{}/{name}",
            self.password,
            self.address()
        )
    }

    /// Where it listens: on 127.0.0.1. A persistent cluster keeps its port while nobody else takes it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The directory of its unix socket, for clients that take one as host.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// The name of the superuser.
    #[must_use]
    pub fn superuser(&self) -> &'static str {
        SUPERUSER
    }

    /// The superuser's password: random, letters and digits only.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The process id of the postmaster.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Stops it and waits until it is gone, at most 40 seconds. Open connections are cut, committed
    /// data are kept.
    pub async fn stop(mut self) {
        if self.supervisor.stop().await.is_none() {
            tracing::warn!(pid = self.pid, "private PostgreSQL is still stopping");
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("port", &self.port)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// One attempt to start, on one port.
struct Attempt<'a> {
    installation: &'a Installation,
    options: &'a Options,
    account: Account,
    home: &'a Path,
    password: String,
    port: u16,
}

/// What a connection attempt tells.
enum Answer {
    Welcome,
    Refused,
    NotYet,
}

impl Attempt<'_> {
    async fn run(self, lock: Option<Lock>) -> Result<Cluster, Error> {
        if !self.account.enters(self.installation.bin_dir()) {
            return Err(Error::Unreachable {
                bin_dir: self.installation.bin_dir().to_owned(),
                uid: self.account.uid,
            });
        }
        let sockets = socket_dir(self.home);
        let mut supervisor = Supervisor::start(Launch {
            installation: self.installation,
            account: self.account,
            home: self.home,
            sockets: &sockets,
            temporary: self.options.data_dir.is_none(),
            durable: self.options.durable,
            port: self.port,
            settings: &self.options.settings,
            password: &self.password,
            lock,
        })?;
        let pid = self.until_ready(&mut supervisor).await?;
        let (port, password) = (self.port, self.password);
        Ok(Cluster {
            supervisor,
            sockets,
            port,
            password,
            pid,
            _request: None,
        })
    }

    /// Waits until the server lets us in; that the password is right proves that it is ours.
    async fn until_ready(&self, supervisor: &mut Supervisor) -> Result<u32, Error> {
        let dir = self.home.to_owned();
        let started = Instant::now();
        let mut refused: Option<Instant> = None;
        loop {
            if let Some(log) = supervisor.ended() {
                return Err(Error::Start { dir, log });
            }
            match self.knock().await {
                Answer::Welcome => {
                    if let Some(pid) = postmaster_pid(&dir.join("data")) {
                        return Ok(pid);
                    }
                }
                // For a moment it may be somebody else's server, while ours finds the port taken.
                Answer::Refused
                    if refused.get_or_insert_with(Instant::now).elapsed() > PASSWORD_PATIENCE =>
                {
                    let problem = "the server refuses it".to_owned();
                    return Err(Error::Password {
                        path: dir.join("password"),
                        problem,
                    });
                }
                Answer::Refused | Answer::NotYet => {}
            }
            if started.elapsed() > START_PATIENCE {
                let log = supervisor.stop().await.unwrap_or_default();
                return Err(Error::TimedOut {
                    dir,
                    waited: START_PATIENCE,
                    log,
                });
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

fn new_password() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The wanted port if it is free, else any free one. Somebody may still be faster than PostgreSQL.
fn choose_port(wanted: Option<u16>) -> Result<u16, Error> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr();
    let kept = wanted.and_then(|port| bind(port).ok());
    let address = kept.map_or_else(|| bind(0), Ok);
    address.map(|address| address.port()).map_err(Error::NoPort)
}

/// Somebody was faster.
fn lost_the_port(error: &Error) -> bool {
    matches!(error, Error::Start { log, .. } if log.contains("could not create any TCP/IP sockets"))
}
