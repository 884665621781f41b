use std::{
    fmt, fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{NoTls, error::SqlState};

use crate::{
    Error, Installation, Options,
    account::Account,
    home::{Home, postmaster_pid},
    lock::Lock,
    supervisor::{Launch, Supervisor, socket_dir},
};

/// The superuser that every cluster of ours has.
const SUPERUSER: &str = "postgres";

/// A first start takes one or two seconds, crash recovery of a busy database some more.
const START_PATIENCE: Duration = Duration::from_mins(2);

/// A server that refuses the password this long is ours and has another one.
const PASSWORD_PATIENCE: Duration = Duration::from_secs(5);

/// One connection attempt; a server that recovers may accept and stay silent.
const KNOCK_PATIENCE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(10);

/// How often another free port is tried when somebody else was faster.
const PORT_ATTEMPTS: u32 = 5;

/// A running private PostgreSQL. Dropping it orders it to stop; [`Cluster::stop`] also waits for that.
pub struct Cluster {
    supervisor: Supervisor,
    sockets: PathBuf,
    port: u16,
    password: String,
    pid: u32,
    // The last field, so that it is given up after the order to stop has gone out.
    #[expect(dead_code, reason = "held, never looked at")]
    ownership: Option<Lock>,
}

/// What a cluster that stays has kept from its last run, or a new one is born with.
struct Memory {
    password: String,
    port: Option<u16>,
}

impl Cluster {
    /// Starts a cluster, making it first if it is not there.
    ///
    /// A persistent one whose former owner was killed is waited for and then recovered; one that
    /// another live process owns is refused, as sharing it would let the first owner's end take it
    /// away from the second.
    ///
    /// # Errors
    /// See [`Error`]; the message of a failed start has the end of PostgreSQL's log in it.
    pub async fn start(installation: &Installation, options: Options) -> Result<Self, Error> {
        match &options.data_dir {
            Some(dir) => Self::start_persistent(installation, &options, dir).await,
            None => Self::start_temporary(installation, &options).await,
        }
    }

    async fn start_persistent(
        installation: &Installation,
        options: &Options,
        requested: &Path,
    ) -> Result<Self, Error> {
        let home = Home::settle(requested).await?;
        let ownership = home.take_ownership().await?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let lock = home.wait_for_former().await?;
            let memory = Memory::recall(home.dir(), installation)?;
            let port = memory.port.filter(|port| attempt == 1 && is_free(*port));
            let attempted = Attempt {
                installation,
                options,
                account: home.account(),
                home: home.dir(),
                password: memory.password,
                port: port.map_or_else(free_port, Ok)?,
            };
            match attempted.run(Some(lock)).await {
                Ok(cluster) => {
                    return Ok(Self {
                        ownership: Some(ownership),
                        ..cluster
                    });
                }
                Err(Failure::LostThePort(_)) if attempt < PORT_ATTEMPTS => {}
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    async fn start_temporary(
        installation: &Installation,
        options: &Options,
    ) -> Result<Self, Error> {
        let account = Account::for_new_cluster()?;
        let mut places = vec![
            std::env::temp_dir(),
            PathBuf::from("/tmp"),
            PathBuf::from("/var/tmp"),
        ];
        let mut attempt = 0;
        loop {
            attempt += 1;
            let home = places[0].join(format!("parlant-postgres-{:016x}", rand::random::<u64>()));
            let attempted = Attempt {
                installation,
                options,
                account,
                home: &home,
                password: new_password(),
                port: free_port()?,
            };
            match attempted.run(None).await {
                Ok(cluster) => return Ok(cluster),
                Err(Failure::NoDirectory(_)) if places.len() > 1 => drop(places.remove(0)),
                Err(Failure::LostThePort(_)) if attempt < PORT_ATTEMPTS => {}
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// Removes the cluster in `data_dir` and all its data, wherever it is. Without one nothing happens.
    ///
    /// # Errors
    /// [`Error::InUse`] when a live process owns it.
    pub async fn remove(data_dir: impl AsRef<Path>) -> Result<(), Error> {
        let Some(home) = Home::find(data_dir.as_ref())? else {
            return Ok(());
        };
        let _owner = home.take_ownership().await?;
        let _lock = home.wait_for_former().await?;
        home.remove()
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
            "postgresql://{SUPERUSER}:{}@127.0.0.1:{}/{name}",
            self.password, self.port
        )
    }

    /// Where it listens: always on 127.0.0.1.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The directory of its unix socket, for a `host` that begins with `/`.
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

    /// Stops it (open connections are cut, committed data are safe) and waits until it is gone,
    /// at most 40 seconds.
    pub async fn stop(mut self) {
        if self.supervisor.stop().await.is_none() {
            tracing::warn!(pid = self.pid, "PostgreSQL is still stopping");
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

/// One attempt to start, with one port.
struct Attempt<'a> {
    installation: &'a Installation,
    options: &'a Options,
    account: Option<Account>,
    home: &'a Path,
    password: String,
    port: u16,
}

/// Why an attempt failed: two reasons have a remedy.
enum Failure {
    LostThePort(Error),
    NoDirectory(Error),
    Final(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::LostThePort(error) | Failure::NoDirectory(error) | Failure::Final(error) => {
                error
            }
        }
    }
}

impl Attempt<'_> {
    async fn run(self, lock: Option<Lock>) -> Result<Cluster, Failure> {
        let sockets = socket_dir(self.home);
        let launch = Launch {
            installation: self.installation,
            account: self.account,
            home: self.home,
            sockets: &sockets,
            temporary: self.options.data_dir.is_none(),
            durable: self.options.durable,
            port: self.port,
            settings: &self.options.settings,
            password: &self.password,
            lock: lock.map(Lock::into_file),
        };
        let mut supervisor = launch.start().map_err(Failure::Final)?;
        let pid = self.until_ready(&mut supervisor).await?;
        Ok(Cluster {
            supervisor,
            sockets,
            port: self.port,
            password: self.password,
            pid,
            ownership: None,
        })
    }

    /// Waits until the server lets us in; the password proves that it is ours.
    async fn until_ready(&self, supervisor: &mut Supervisor) -> Result<u32, Failure> {
        let dir = self.home.to_owned();
        let started = Instant::now();
        let mut refused_since = None;
        loop {
            if let Some(ended) = supervisor.ended() {
                let (lost, no_directory) = (ended.lost_the_port(), ended.no_directory);
                let error = Error::Start {
                    dir,
                    log: ended.log,
                };
                return Err(match (lost, no_directory) {
                    (true, _) => Failure::LostThePort(error),
                    (_, true) => Failure::NoDirectory(error),
                    _ => Failure::Final(error),
                });
            }
            match self.knock().await {
                Answer::Welcome => {
                    if let Some(pid) = postmaster_pid(&self.home.join("data")) {
                        return Ok(pid);
                    }
                }
                Answer::Refused => {
                    if refused_since.get_or_insert_with(Instant::now).elapsed() > PASSWORD_PATIENCE
                    {
                        let path = self.home.join("password");
                        let problem = "the server refuses it".to_owned();
                        return Err(Failure::Final(Error::Password { path, problem }));
                    }
                }
                Answer::NotYet => {}
            }
            if started.elapsed() > START_PATIENCE {
                let log = supervisor
                    .stop()
                    .await
                    .map(|ended| ended.log)
                    .unwrap_or_default();
                return Err(Failure::Final(Error::TimedOut {
                    dir,
                    waited: START_PATIENCE,
                    log,
                }));
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

/// What a connection attempt tells.
enum Answer {
    Welcome,
    Refused,
    NotYet,
}

impl Memory {
    /// Reads what the last run left; a cluster that was never finished is as good as none.
    fn recall(home: &Path, installation: &Installation) -> Result<Self, Error> {
        let version = home.join("data/PG_VERSION");
        let data = match fs::read_to_string(&version) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self {
                    password: new_password(),
                    port: None,
                });
            }
            Err(error) => return Err(Error::io("read", &version)(error)),
        };
        if data != installation.major_version() {
            return Err(Error::OtherMajor {
                dir: home.to_owned(),
                data,
                installed: installation.major_version(),
                bin_dir: installation.bin_dir().to_owned(),
            });
        }
        let path = home.join("password");
        match fs::read_to_string(&path) {
            Ok(password) => {
                let port = fs::read_to_string(home.join("port"))
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                Ok(Self {
                    password: password.trim().to_owned(),
                    port,
                })
            }
            Err(error) => Err(Error::Password {
                path,
                problem: error.to_string(),
            }),
        }
    }
}

fn new_password() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Result<u16, Error> {
    let bind = || -> io::Result<u16> {
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port())
    };
    bind().map_err(Error::io("find a free port on", Path::new("127.0.0.1")))
}
