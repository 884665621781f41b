//! Connecting: hosts in order, each of their addresses, each attempt that the TLS mode allows.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, CancelToken, Client};

use crate::cancel::cancel;
use crate::error::timed_out;
use crate::target::{Endpoint, Target};
use crate::{Config, Error};

/// How long a connection may take to say goodbye before its socket is closed.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the server may take to accept a cancel request.
const CANCEL: Duration = Duration::from_secs(2);
/// For how long a host that did not answer in time is tried after the others.
const AVOID: Duration = Duration::from_secs(30);

/// Connects outside of any pool, with the hosts, TLS and time limit that a pool would use. No statement timeout is
/// set: for migrations and pings.
///
/// The connection is driven by a task of its own that ends when the client is dropped.
pub async fn connect(config: &Config) -> Result<Client, Error> {
    let connector = Connector::new(Target::new(config)?);
    let (client, driver) = connector.connect(config.connection_timeout).await.map_err(Error::from_connect)?;
    driver.detach();
    Ok(client)
}

/// Makes connections, and counts those that exist.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Inner>);

struct Inner {
    target: Target,
    /// By endpoint.
    avoid_until: Mutex<Vec<Option<Instant>>>,
    live: AtomicUsize,
}

impl Connector {
    pub(crate) fn new(target: Target) -> Self {
        Self(Arc::new(Inner {
            avoid_until: Mutex::new(vec![None; target.endpoints.len()]),
            target,
            live: AtomicUsize::new(0),
        }))
    }

    /// Connections that exist or are being made, to the moment their sockets are closed.
    pub(crate) fn live(&self) -> usize {
        self.0.live.load(Ordering::Relaxed)
    }

    /// Tries every endpoint within `budget`; each gets an equal share of what is left of it.
    pub(crate) async fn connect(&self, budget: Duration) -> Result<(Client, Driver), tokio_postgres::Error> {
        // Nobody receives: nothing is sent to a connection that does not listen.
        self.listen(budget, unbounded_channel().0).await
    }

    /// The same for a connection that shall listen: the payloads of its notifications go to `payloads`, which it drops
    /// when it ends.
    pub(crate) async fn listen(
        &self,
        budget: Duration,
        payloads: UnboundedSender<String>,
    ) -> Result<(Client, Driver), tokio_postgres::Error> {
        let live = Live::new(self);
        let deadline = Instant::now() + budget;
        let order = self.order();
        let mut failure = None;
        for (position, &index) in order.iter().enumerate() {
            let rest = u32::try_from(order.len() - position).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(Instant::now()) / rest;
            match timeout(share, self.endpoint(&self.0.target.endpoints[index])).await {
                Ok(Ok((client, connection))) => {
                    return Ok((client, Driver::spawn(connection, payloads, live)));
                }
                Ok(Err(error)) => failure = Some(error),
                Err(_) => self.avoid(index),
            }
        }
        Err(failure.unwrap_or_else(timed_out))
    }

    /// Asks the server to cancel what runs on the connection of `token`.
    pub(crate) async fn cancel(&self, token: &CancelToken) {
        if timeout(CANCEL, cancel(&self.0.target, token)).await.is_err() {
            tracing::debug!("The server did not answer a cancel request");
        }
    }

    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.0.target.endpoints.len()).collect();
        if self.0.target.shuffle {
            order.shuffle(&mut rand::rng());
        }
        let now = Instant::now();
        let avoid = self.avoid_until();
        order.sort_by_key(|&index| avoid[index].is_some_and(|until| until > now));
        order
    }

    fn avoid(&self, index: usize) {
        self.avoid_until()[index] = Some(Instant::now() + AVOID);
    }

    fn avoid_until(&self) -> std::sync::MutexGuard<'_, Vec<Option<Instant>>> {
        self.0.avoid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn endpoint(&self, endpoint: &Endpoint) -> Connected {
        let addresses = match (&endpoint.host, endpoint.address) {
            (_, Some(address)) => vec![Some(address)],
            (Some(Host::Tcp(name)), None) => {
                let found = tokio::net::lookup_host((name.as_str(), endpoint.port)).await;
                // A name that cannot be resolved is left to tokio-postgres, which makes an error of it.
                found.map_or_else(|_| vec![None], |found| found.map(|address| Some(address.ip())).collect())
            }
            (_, None) => vec![None],
        };
        let mut last = None;
        for address in addresses {
            let attempt = self.address(endpoint, address);
            let result = match self.0.target.address_timeout {
                Some(limit) => timeout(limit, attempt).await.unwrap_or_else(|_| Err(timed_out())),
                None => attempt.await,
            };
            match result {
                Ok(connected) => return Ok(connected),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(timed_out))
    }

    async fn address(&self, endpoint: &Endpoint, address: Option<IpAddr>) -> Connected {
        let mut config = self.0.target.postgres.clone();
        config.port(endpoint.port);
        let attempts = match (&endpoint.host, address) {
            (Some(Host::Tcp(name)), _) => {
                config.host(name);
                self.0.target.tls.attempts()
            }
            // As in libpq, a socket in the file system is never encrypted.
            (Some(Host::Unix(path)), _) => {
                config.host_path(path);
                &[SslMode::Disable]
            }
            (None, Some(address)) => {
                config.host(address.to_string());
                self.0.target.tls.attempts()
            }
            (None, None) => &[],
        };
        if let Some(address) = address {
            config.hostaddr(address);
        }
        let mut result = Err(timed_out());
        for attempt in attempts {
            config.ssl_mode(*attempt);
            result = config.connect(self.0.target.tls.connector.clone()).await;
            match &result {
                Err(error) if another_way_may_work(error) => {}
                _ => break,
            }
        }
        result
    }
}

type Connected = Result<(Client, Connection), tokio_postgres::Error>;
type Connection = tokio_postgres::Connection<
    tokio_postgres::Socket,
    <tokio_postgres_rustls::MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>>::Stream,
>;

/// Whether the same address may answer differently with TLS or without: not when nobody listens there, and not
/// when the session has the wrong attributes.
fn another_way_may_work(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    !io.is_some_and(|error| matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied))
}

/// Counts one connection for as long as it exists.
struct Live(Connector);

impl Live {
    fn new(connector: &Connector) -> Self {
        connector.0.live.fetch_add(1, Ordering::Relaxed);
        Self(connector.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The task that moves a connection's bytes. Dropped, the connection has [`GOODBYE`] left to end in order.
pub(crate) struct Driver(oneshot::Sender<()>);

impl Driver {
    fn spawn(mut connection: Connection, payloads: UnboundedSender<String>, live: Live) -> Self {
        let (keep, kept) = oneshot::channel();
        tokio::spawn(async move {
            let _live = live;
            let mut connection = std::pin::pin!(async move {
                while let Some(message) = poll_fn(|context| connection.poll_message(context)).await.transpose()? {
                    if let AsyncMessage::Notification(notification) = message {
                        let _ = payloads.send(notification.payload().to_owned());
                    }
                }
                Ok::<_, tokio_postgres::Error>(())
            });
            let dropped = async {
                if kept.await.is_ok() {
                    std::future::pending::<()>().await;
                }
            };
            let result = tokio::select! {
                result = &mut connection => result,
                () = dropped => timeout(GOODBYE, connection).await.unwrap_or(Ok(())),
            };
            if let Err(error) = result {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(cause, "Database connection ended: {error}");
            }
        });
        Self(keep)
    }

    /// Lets the connection live for as long as its client.
    fn detach(self) {
        let _ = self.0.send(());
    }

    /// A task to abort in place of dropping this: deadpool aborts when it drops a connection, and aborting the
    /// driver itself would cut the socket without a word to the server.
    pub(crate) fn into_task(self) -> JoinHandle<()> {
        tokio::spawn(async move {
            let _driver = self;
            std::future::pending::<()>().await;
        })
    }
}
