use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};

/// All answers stall for this long, once in each [`PERIOD`].
pub(crate) const STALL: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(10);
/// When in the period.
const BEFORE_STALL: Duration = Duration::from_secs(4);

/// A server that does what the path says. It ends when dropped; connections that exist go on.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    requests: AtomicU64,
    /// What came with the last request, up to the end of its body.
    last: Mutex<String>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, started) = (Arc::<Seen>::default(), Instant::now());
        let accepted = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, Arc::clone(&accepted), started));
            }
        });
        Self { address, seen, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn last(&self) -> String {
        self.seen.last.lock().unwrap().clone()
    }

    /// From now on connections are refused.
    pub(crate) async fn refuse(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A whole request, unless the client went away.
async fn receive(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => text += std::str::from_utf8(&buffer[..length]).unwrap(),
        }
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>, started: Instant) {
    stream.set_nodelay(true).unwrap();
    while let Some(request) = receive(&mut stream).await {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.split(' ').nth(1).unwrap().to_owned();
        *seen.last.lock().unwrap() = request;
        let answer = match path.as_str() {
            "/ok" => answer(200, "x-request-id: request-1\r\n", "0123456789"),
            "/unauthorized" => answer(401, "x-request-id: request-2\r\n", "no"),
            "/unavailable" => answer(503, "", "later"),
            "/redirect" => answer(302, "location: /ok\r\n", ""),
            "/slow" => {
                sleep(Duration::from_millis(20)).await;
                answer(200, "", "")
            }
            "/stalling" => {
                sleep(Duration::from_millis(10)).await;
                stall(started).await;
                answer(200, "", "")
            }
            "/hanging" => return std::future::pending().await,
            "/closing" => return,
            "/cut" => {
                stream.write_all(answer(200, "", "0123456789").trim_end_matches('9').as_bytes()).await.unwrap();
                return;
            }
            "/reset" => {
                stream.write_all(answer(200, "", "0123456789").trim_end_matches('9').as_bytes()).await.unwrap();
                // Let the piece arrive before the reset overtakes it.
                sleep(Duration::from_millis(50)).await;
                return stream.set_zero_linger().unwrap();
            }
            "/garbage" => "SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_owned(),
            other => panic!("{other}"),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

async fn stall(started: Instant) {
    let elapsed = started.elapsed().as_secs_f64() % PERIOD.as_secs_f64();
    let end = (BEFORE_STALL + STALL).as_secs_f64();
    if (BEFORE_STALL.as_secs_f64()..end).contains(&elapsed) {
        let left = Duration::from_secs_f64(end - elapsed);
        sleep_until((Instant::now() + left).into()).await;
    }
}
