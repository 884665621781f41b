//! A receiver of webhooks that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlant_alerting::{Notification, Notifier, Sending};
use parlant_settings::Secret;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::Instant;

pub(crate) const SECRET: &str = "hunter2";

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This head, without a body.
    Head(&'static str),
    /// These bytes, and the connection is closed.
    Cut(&'static str),
    /// None, ever.
    Hang,
}

pub(crate) const OK: Answer = Answer::Head("200 OK");

impl Answer {
    /// Whether the sender is told that the message is there.
    fn accepts(&self) -> bool {
        matches!(self, Self::Head(head) if head.starts_with("200"))
    }
}

/// A request that was read.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) body: Value,
    pub(crate) accepted: bool,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    heard: Mutex<Vec<Heard>>,
    /// Holds the paused clock while a request is under way.
    clock: Mutex<Option<oneshot::Sender<()>>>,
}

/// Answers requests at one address: as the script says, and then with 200.
pub(crate) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    serving: AbortHandle,
}

impl Receiver {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared { answers: Mutex::new(answers.into_iter().collect()), ..Shared::default() });
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared))).abort_handle();
        Self { port, shared, serving }
    }

    pub(crate) fn url(&self) -> Secret {
        Secret::from(format!("http://127.0.0.1:{}/services/{SECRET}", self.port))
    }

    /// How many requests were read.
    pub(crate) fn count(&self) -> usize {
        self.shared.heard.lock().unwrap().len()
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// The titles of what was accepted, in the order of arrival.
    pub(crate) fn accepted(&self) -> Vec<String> {
        let accepted = self.heard().into_iter().filter(|heard| heard.accepted);
        accepted.map(|heard| heard.body["attachments"][0]["title"].as_str().unwrap().to_owned()).collect()
    }

    /// Refuses connections.
    pub(crate) fn leave(&self) {
        self.serving.abort();
    }

    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.serving = tokio::spawn(serve(listener, Arc::clone(&self.shared))).abort_handle();
    }

    /// `notifier` under another name, for whom a paused clock stands still while a request is under way. What happens in
    /// the network would take no time otherwise, and a time limit strike at once.
    pub(crate) fn notifier(&self, name: &'static str, notifier: impl Notifier) -> Arc<dyn Notifier> {
        Arc::new(Stopped { name, notifier, shared: Arc::clone(&self.shared) })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
        // After a failure as well: the runtime waits for what blocks.
        drop(self.shared.clock.lock().unwrap().take());
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        tokio::spawn(converse(socket, Arc::clone(&shared)));
    }
}

async fn converse(mut socket: TcpStream, shared: Arc<Shared>) {
    while let Some(body) = request(&mut socket).await {
        let answer = shared.answers.lock().unwrap().pop_front().unwrap_or(OK);
        let accepted = answer.accepts();
        shared.heard.lock().unwrap().push(Heard { at: Instant::now(), body, accepted });
        match answer {
            Answer::Head(head) => {
                let head = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
                socket.write_all(head.as_bytes()).await.unwrap();
            }
            Answer::Cut(bytes) => return socket.write_all(bytes.as_bytes()).await.unwrap(),
            Answer::Hang => {
                // Time passes, or nobody would give up.
                drop(shared.clock.lock().unwrap().take());
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The body of one whole request; none at the connection's end.
async fn request(socket: &mut TcpStream) -> Option<Value> {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let length = socket.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        text += std::str::from_utf8(&buffer[..length]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let announced = announced.map_or(0, |announced| announced.parse().unwrap());
        if body.len() >= announced {
            return Some(serde_json::from_str(body).unwrap_or_default());
        }
    }
}

struct Stopped<N> {
    name: &'static str,
    notifier: N,
    shared: Arc<Shared>,
}

impl<N: Notifier> Notifier for Stopped<N> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
        Box::pin(async {
            let (release, held) = oneshot::channel();
            // Tokio's paused clock does not advance by itself while something blocks.
            let holding = spawn_blocking(move || held.blocking_recv());
            *self.shared.clock.lock().unwrap() = Some(release);
            let sent = self.notifier.send(notification).await;
            drop(self.shared.clock.lock().unwrap().take());
            let _ = holding.await;
            sent
        })
    }
}

/// Waits until `holds`, however long that takes by a paused clock.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_hours(3);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
