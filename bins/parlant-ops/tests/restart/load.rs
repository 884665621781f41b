//! Load whose requests are due whether or not earlier ones were answered, and what became of each.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::deployment::PATIENCE;

/// As clients should: it is shorter than the server waits for the next request on a connection when it stops.
const IDLE: Duration = Duration::from_millis(500);

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By `200`, `refused`, `reset`, `unanswered`, …
    pub(crate) outcomes: BTreeMap<String, usize>,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// How many were sent on a connection that had been used before.
    pub(crate) reused: usize,
    /// The answers that said that they are the last on their connection.
    pub(crate) last: usize,
    pub(crate) slowest: Duration,
}

struct Shared {
    address: SocketAddr,
    token: String,
    idle: Mutex<Vec<(TcpStream, Instant)>>,
    tally: Mutex<Tally>,
}

/// Sends until `stop` changes: a request each `period`, mostly small ones, some that ask the database, some whose body
/// takes its time, some that want no other on their connection.
pub(crate) async fn run(address: SocketAddr, token: &str, period: Duration, mut stop: watch::Receiver<bool>) -> Tally {
    let shared = Arc::new(Shared { address, token: token.into(), idle: Mutex::default(), tally: Mutex::default() });
    let mut requests = JoinSet::new();
    let mut due = interval(period);
    for number in 0_u64.. {
        tokio::select! {
            _ = due.tick() => {}
            _ = stop.changed() => break,
        }
        let shared = Arc::clone(&shared);
        requests.spawn(async move { shared.request(number).await });
    }
    requests.join_all().await;
    let shared = Arc::into_inner(shared).unwrap();
    shared.tally.into_inner().unwrap()
}

impl Shared {
    async fn request(&self, number: u64) {
        let start = Instant::now();
        let outcome = match timeout(PATIENCE, self.exchange(number)).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => match error.kind() {
                ErrorKind::ConnectionRefused => "refused".to_owned(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".to_owned(),
                ErrorKind::UnexpectedEof => "unanswered".to_owned(),
                kind => kind.to_string(),
            },
            Err(_) => "hangs".to_owned(),
        };
        let mut tally = self.tally.lock().unwrap();
        *tally.outcomes.entry(outcome).or_default() += 1;
        tally.slowest = tally.slowest.max(start.elapsed());
    }

    async fn exchange(&self, number: u64) -> std::io::Result<u16> {
        let mut stream = self.connection().await?;
        let head = |line: &str, more: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
        match number % 10 {
            0 => {
                let body = br#"{"token":"nobody's"}"#;
                let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
                stream.write_all(head("POST /api/v1/auth/validate", &more).as_bytes()).await?;
                for piece in body.chunks(5) {
                    sleep(Duration::from_millis(80)).await;
                    stream.write_all(piece).await?;
                }
            }
            1 | 2 => {
                let more = format!("Authorization: Bearer {}\r\n", self.token);
                stream.write_all(head("GET /api/v1/agents", &more).as_bytes()).await?;
            }
            3 => stream.write_all(head("GET /livez", "Connection: close\r\n").as_bytes()).await?,
            _ => stream.write_all(head("GET /livez", "").as_bytes()).await?,
        }
        let (status, is_last) = answer(&mut stream).await?;
        if is_last {
            self.tally.lock().unwrap().last += 1;
        } else {
            self.idle.lock().unwrap().push((stream, Instant::now()));
        }
        Ok(status)
    }

    /// The one that was used last, if it is still open and not idle for too long; else a new one.
    async fn connection(&self) -> std::io::Result<TcpStream> {
        loop {
            let Some((stream, since)) = self.idle.lock().unwrap().pop() else { break };
            let is_open = matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
            if since.elapsed() < IDLE && is_open {
                self.tally.lock().unwrap().reused += 1;
                return Ok(stream);
            }
        }
        self.tally.lock().unwrap().connections += 1;
        TcpStream::connect(self.address).await
    }
}

/// The status of an answer that is read to its end, and whether there will be no other.
async fn answer(stream: &mut TcpStream) -> std::io::Result<(u16, bool)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let length = field("content-length:").and_then(|length| length.parse::<usize>().ok());
            let length = length.ok_or_else(|| std::io::Error::other(format!("no length: {head}")))?;
            if bytes.len() >= end + 4 + length {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
                return Ok((status, field("connection:") == Some("close")));
            }
        }
        match stream.read(&mut buffer).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}
