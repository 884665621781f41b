//! Whoever the bridge talks to over HTTP, saying what it is told to say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use chrono::{TimeDelta, Utc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What is said about the paths that begin so.
pub(crate) type Answers = &'static [(&'static str, u16, &'static str)];

pub(crate) const SIM: Answers = &[
    ("/api/health", 200, r#"{"status":"ok","timestamp":"2026-01-01T00:00:00.000Z"}"#),
    ("/api/auth/get-session", 200, "null"),
];
pub(crate) const ENGINE: Answers =
    &[("/healthz", 200, r#"{"status":"healthy"}"#), ("/openapi.json", 200, r#"{"info":{"version":"3.3.2"}}"#)];

/// A server that ends when it is dropped.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<(Answers, TimeDelta)>>,
    task: JoinHandle<()>,
}

impl StandIn {
    pub(crate) async fn start(answers: Answers) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answers).await
    }

    pub(crate) async fn start_at(address: SocketAddr, answers: Answers) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let said = Arc::new(Mutex::new((answers, TimeDelta::zero())));
        let task = tokio::spawn(serve(listener, Arc::clone(&said)));
        Self { address, said, task }
    }

    pub(crate) fn say(&self, answers: Answers) {
        self.said.lock().unwrap().0 = answers;
    }

    /// Its clock is so far ahead.
    pub(crate) fn be_ahead(&self, ahead: TimeDelta) {
        self.said.lock().unwrap().1 = ahead;
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, said: Arc<Mutex<(Answers, TimeDelta)>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (answers, ahead) = *said.lock().unwrap();
        tokio::spawn(async move {
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 64 * 1024 {
                if stream.read_buf(&mut request).await? == 0 {
                    break;
                }
            }
            let request = String::from_utf8_lossy(&request);
            let path = request.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(begin, ..)| path.starts_with(begin));
            let (status, body) = found.map_or((404, "not here"), |(_, status, body)| (*status, *body));
            let date = (Utc::now() + ahead).format("%a, %d %b %Y %H:%M:%S GMT");
            let head = format!(
                "HTTP/1.1 {status} Said\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + body).as_bytes()).await
        });
    }
}
