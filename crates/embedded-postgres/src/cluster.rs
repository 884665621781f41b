use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
};

use crate::{
    Error, Installation, Options,
    attempt::{Attempt, Running},
    home::{Home, Request},
    memory::Memory,
};

/// The superuser that every cluster has.
pub(crate) const SUPERUSER: &str = "postgres";

/// How many free ports are tried when others are faster to take them.
const PORT_ATTEMPTS: u32 = 5;

/// A running private PostgreSQL.
///
/// Dropping it orders PostgreSQL to stop, and so does the end of this process, whatever ends it.
/// [`Cluster::stop`] also waits until it is gone.
pub struct Cluster {
    running: Running,
    /// Of a persistent cluster. The last field, so that it is given up after the order to stop.
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
        let kept = match &options.data_dir {
            Some(dir) => {
                let request = Request::make(dir).await?;
                Some((request.home().await?, request))
            }
            None => None,
        };
        let mut attempts = 0;
        let running = loop {
            attempts += 1;
            let (home, lock, memory) = match &kept {
                Some((home, _)) => {
                    let lock = home.wait_for_former().await?;
                    (home.clone(), Some(lock), Memory::recall(&home.dir, installation)?)
                }
                None => (Home::temporary()?, None, None),
            };
            let kept_port = memory.as_ref().and_then(|memory| memory.port);
            let port = choose_port(kept_port.filter(|_| attempts == 1))?;
            let password = memory.map_or_else(new_password, |memory| memory.password);
            let attempt = Attempt { installation, options: &options, home: &home, password, port };
            match attempt.run(lock).await {
                Err(error) if attempts < PORT_ATTEMPTS && error.is_lost_port() => {}
                outcome => break outcome?,
            }
        };
        let (version, port, pid) = (installation.major_version(), running.port, running.pid);
        tracing::debug!(version, port, pid, "private PostgreSQL started");
        Ok(Self { running, _request: kept.map(|(_, request)| request) })
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
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        format!("postgresql://{SUPERUSER}:{}@{}/{name}", self.running.password, self.address())
    }

    /// Where it listens: on 127.0.0.1. A persistent cluster keeps its port while nobody else takes it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.running.port))
    }

    /// The directory of its unix socket, for clients that take one as host.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.running.sockets
    }

    /// The superuser's password: random, letters and digits only.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.running.password
    }

    /// The process id of the postmaster.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid
    }

    /// Stops it and waits until it is gone, at most 40 seconds. Open connections are cut, committed
    /// data are kept.
    pub async fn stop(mut self) {
        if self.running.supervisor.stop().await.is_none() {
            tracing::warn!(pid = self.running.pid, "private PostgreSQL is still stopping");
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("port", &self.running.port)
            .field("pid", &self.running.pid)
            .finish_non_exhaustive()
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
    address.map(|address| address.port()).map_err(Error::io("find a free port on", Path::new("127.0.0.1")))
}
