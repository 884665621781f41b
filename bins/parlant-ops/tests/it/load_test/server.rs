use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server whose threads end with the test's process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Every request's head, in the order in which they came.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::accepting(answer)
    }

    /// One that speaks TLS on its first two connections only.
    pub(crate) fn encrypted(config: ServerConfig) -> Self {
        let (config, connections) = (Arc::new(config), AtomicU64::new(0));
        Self::accepting(move |mut stream, requests| {
            if connections.fetch_add(1, Ordering::Relaxed) < 2 {
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                answer(StreamOwned::new(tls, stream), requests);
            } else {
                let _ = stream.write_all(b"This is not TLS.");
            }
        })
    }

    fn accepting(serve: impl Fn(TcpStream, &Mutex<Vec<String>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (seen, serve) = (Arc::clone(&requests), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, serve, stream) = (Arc::clone(&seen), Arc::clone(&serve), stream.unwrap());
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers until the client goes away, or until it asks for `/last`.
fn answer(mut stream: impl Read + Write, requests: &Mutex<Vec<String>>) {
    let mut head = String::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        head += std::str::from_utf8(&buffer[..length]).unwrap();
        if !head.ends_with("\r\n\r\n") {
            continue;
        }
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let status = match path.as_str() {
            "/api/v1/agents" if !head.contains("authorization: Bearer ") => 401,
            "/api/v1/auth/status" => 503,
            _ => 200,
        };
        requests.lock().unwrap().push(std::mem::take(&mut head));
        match path.as_str() {
            "/hanging" => thread::park(),
            "/slow" => thread::park_timeout(Duration::from_millis(50)),
            _ => {}
        }
        let answer = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 4\r\n\r\ntext");
        if stream.write_all(answer.as_bytes()).is_err() || path == "/last" {
            return;
        }
    }
}
