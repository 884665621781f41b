use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::failure::{Failure, Kind};
use super::{Error, Target};

type Connection = SendRequest<Full<Bytes>>;

/// Connections to one target. Each request has one for itself: an idle one, or a new one. Nothing is repeated and no
/// redirect is followed.
pub(super) struct Client {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    keep_alive: bool,
    timeout: Duration,
    /// The one used last is taken first, so that there are no more of them than are needed.
    idle: Mutex<Vec<Connection>>,
    opened: AtomicU64,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// What the server calls the request in its log.
    pub(super) request_id: Option<String>,
}

impl Client {
    /// Tries to connect, and chooses the address that answers.
    pub(super) async fn connect(target: &Target, keep_alive: bool, timeout: Duration) -> Result<Self, Error> {
        let mut client = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: if target.https { Some(tls(&target.host)?) } else { None },
            keep_alive,
            timeout,
            idle: Mutex::default(),
            opened: AtomicU64::new(0),
        };
        let mut refusal = Error::Address("has no host");
        for address in &target.addresses {
            client.address = *address;
            match client.open(Instant::now() + timeout).await {
                Ok(_) => return Ok(client),
                Err(failure) => {
                    let source = io::Error::other(failure.message);
                    refusal = Error::Unreachable { address: *address, source };
                }
            }
        }
        Err(refusal)
    }

    /// The same without connections.
    pub(super) fn renewed(&self) -> Self {
        let (idle, opened) = (Mutex::default(), AtomicU64::new(0));
        Self { tls: self.tls.clone(), idle, opened, ..*self }
    }

    /// How many connections were opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Sends a request and reads the answer to its end, adding to `bytes` what comes of its body.
    pub(super) async fn exchange(&self, request: Request<Full<Bytes>>, bytes: &mut u64) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.timeout;
        let late = |_| Failure::new(Kind::Timeout, "no whole answer in time");
        let mut connection = match timeout_at(deadline, self.idle()).await.map_err(late)? {
            Some(connection) => connection,
            None => self.open(deadline).await?,
        };
        let answer = timeout_at(deadline, ask(&mut connection, request, bytes)).await.map_err(late)??;
        if self.keep_alive {
            self.keep(connection);
        }
        Ok(answer)
    }

    /// A connection that nobody uses, and that was not closed meanwhile as far as is known.
    async fn idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.lock().pop()?;
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: Connection) {
        self.lock().push(connection);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, deadline: Instant) -> Result<Connection, Failure> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let opening = async {
            let stream = TcpStream::connect(self.address).await.map_err(|error| Failure::connect(&error))?;
            stream.set_nodelay(true).map_err(|error| Failure::connect(&error))?;
            match &self.tls {
                None => start(stream).await,
                Some((connector, name)) => {
                    let stream = connector.connect(name.clone(), stream).await;
                    start(stream.map_err(|error| Failure::new(Kind::Tls, error.to_string()))?).await
                }
            }
        };
        let opened = timeout_at(deadline, opening).await;
        opened.unwrap_or_else(|_| Err(Failure::new(Kind::ConnectTimeout, "no connection in time")))
    }
}

async fn start<S>(stream: S) -> Result<Connection, Failure>
where
    TokioIo<S>: Read + Write + Unpin + Send + 'static,
{
    let (connection, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| Failure::exchange(&error))?;
    // Its errors reach whoever waits for an answer.
    tokio::spawn(async { drop(driver.await) });
    Ok(connection)
}

async fn ask(connection: &mut Connection, request: Request<Full<Bytes>>, bytes: &mut u64) -> Result<Answer, Failure> {
    let failed = |error: hyper::Error| Failure::exchange(&error);
    let (head, mut body) = connection.send_request(request).await.map_err(failed)?.into_parts();
    while let Some(frame) = body.frame().await {
        *bytes += frame.map_err(failed)?.data_ref().map_or(0, |data| data.len() as u64);
    }
    let request_id = head.headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let request_id = request_id.filter(|id| id.len() <= 128).map(str::to_owned);
    Ok(Answer { status: head.status, request_id })
}

/// TLS that trusts the operating system's authorities, or those that `SSL_CERT_FILE` names.
fn tls(host: &str) -> Result<(TlsConnector, ServerName<'static>), Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(found.certs);
    if authorities.is_empty() {
        let reason = found.errors.first().map_or("there are none".to_owned(), ToString::to_string);
        return Err(Error::Authorities(io::Error::other(reason)));
    }
    let config = ClientConfig::builder().with_root_certificates(authorities).with_no_client_auth();
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| Error::Address("has a host that no certificate can name"))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}
