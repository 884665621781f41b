//! A web server of a few lines whose answers are whatever bytes a test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What came in: the first line without the version, and the headers in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What goes out.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Json(u16, String),
    Redirect(String),
    /// 429, to come back after so many seconds.
    #[cfg(feature = "http")]
    Limited(u64),
    /// Promises `promised` bytes and hangs up after these.
    Half {
        promised: usize,
        sent: String,
    },
    /// Accepts and never answers.
    Hang,
    /// Never ends.
    Endless,
}

pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Web {
    pub(crate) async fn serve(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move { exchange(stream, &*answer, &seen).await });
            }
        });
        Self { address, requests, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.line.contains(path)).count()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchange(mut stream: TcpStream, answer: &(dyn Fn(&Request) -> Reply + Sync), seen: &Mutex<Vec<Request>>) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    seen.lock().unwrap().push(request.clone());
    let text = match answer(&request) {
        Reply::Json(status, body) => head(status, "application/json", body.len()) + &body,
        Reply::Redirect(to) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        #[cfg(feature = "http")]
        Reply::Limited(wait) => {
            format!("HTTP/1.1 429 -\r\nx-retry-after: {wait}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Reply::Half { promised, sent } => head(200, "application/json", promised) + &sent,
        Reply::Hang => return std::future::pending().await,
        Reply::Endless => {
            let _ = stream.write_all(head(200, "application/json", usize::MAX >> 1).as_bytes()).await;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
            return;
        }
    };
    let _ = stream.write_all(text.as_bytes()).await;
}

fn head(status: u16, kind: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = bytes.split_off(end + 4);
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    while body.len() < length {
        stream.read_buf(&mut body).await.ok()?;
    }
    Some(Request { line, headers, body: String::from_utf8(body).unwrap() })
}
