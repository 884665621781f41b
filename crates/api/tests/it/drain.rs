//! The end of a server, without a dropped request.

use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use parlant_api::{Config, Endpoint, Readiness, serve, stop};
use parlant_test_support::{ChaosProxy, TestDatabase, database};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::house::{Options, People, Server, answer, eventually, exporter};

/// How often [`second`] was.
static ASKED: AtomicUsize = AtomicUsize::new(0);

async fn second() -> HttpResponse {
    ASKED.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    HttpResponse::Ok().json("done")
}

#[tokio::test]
async fn a_draining_server_says_so_and_still_answers() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = Server::start(&database);
    assert_eq!(server.get("/livez").await.header("connection"), "");
    server.readiness.drain();
    for path in ["/health", "/readyz"] {
        let draining = server.get(path).await;
        assert_eq!(draining.expect(503)["status"], "draining");
        assert_eq!(draining.header("connection"), "close");
    }
    server.get("/livez").await.expect(200);
    let still = server.caller(&people.ada_token).get("/api/v1/agents").await;
    still.expect(200);
    assert_eq!(still.header("connection"), "close");
    assert_eq!(server.get("/nowhere").await.header("connection"), "close");
}

/// A server that can be stopped, on a socket that others have too.
struct Stoppable {
    readiness: Readiness,
    /// Ends with how many requests were cut off.
    stopped: JoinHandle<usize>,
}

impl Stoppable {
    /// It stops as soon as it drains.
    fn start(listener: &TcpListener, database: &TestDatabase, grace: Duration) -> Self {
        exporter();
        let mut options = Options::new(database);
        options.more = |config| Endpoint::new("/test/second").get(second).mount(config);
        let (state, _) = options.state();
        let readiness = state.readiness.clone();
        let config = Config { workers: NonZeroUsize::new(2).unwrap(), ..Config::default() };
        let mut server = serve(listener.try_clone().unwrap(), &config, state, options.more).unwrap();
        let stopped = tokio::spawn({
            let readiness = readiness.clone();
            async move {
                tokio::select! {
                    _ = &mut server => panic!("it ended by itself"),
                    () = draining(&readiness) => {}
                }
                stop(server, &readiness, grace, true).await.unwrap()
            }
        });
        Self { readiness, stopped }
    }
}

async fn draining(readiness: &Readiness) {
    while !readiness.is_draining() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(listener: &TcpListener) -> Self {
        Self(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn ask(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    }

    /// What comes until the server ends the connection, which is never a reset.
    async fn rest(mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).await.unwrap();
        text.to_lowercase()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_whoever_is_connected_once_more_and_leaves_others_to_the_next_process() {
    let database = database().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Stoppable::start(&listener, &database, Duration::from_mins(1));
    let connect = || Client::connect(&listener);
    let (mut idle, mut busy, mut silent, mut slow) =
        (connect().await, connect().await, connect().await, connect().await);
    for client in [&mut idle, &mut busy] {
        client.ask("/livez").await;
        let mut head = [0; 12];
        client.0.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    slow.ask("/test/second").await;
    eventually("asked", async || ASKED.load(Ordering::Relaxed) > 0).await;

    server.readiness.drain();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut late = connect().await;
    for client in [&mut busy, &mut silent, &mut late] {
        client.ask("/livez").await;
    }
    for (client, answers, last) in [(busy, 2, 1), (silent, 1, 1), (slow, 1, 1), (idle, 1, 0)] {
        let told = client.rest().await;
        assert_eq!(told.matches("x-request-id:").count(), answers, "{told}");
        assert_eq!(told.matches("connection: close").count(), last, "{told}");
    }
    assert_eq!(server.stopped.await.unwrap(), 0);

    let next = Stoppable::start(&listener, &database, Duration::ZERO);
    let mut head = [0; 12];
    late.0.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    assert_ne!(server.readiness.start_id(), next.readiness.start_id());
    next.readiness.drain();
    assert_eq!(next.stopped.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_grace_cuts_off_and_counts_what_is_stuck() {
    let database = database().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Stoppable::start(&listener, &database, Duration::from_secs(2));
    let mut stuck = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&listener).await;
        let head = "POST /api/v1/auth/validate HTTP/1.1\r\nHost: x\r\n";
        client.send(&format!("{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{")).await;
        stuck.push(client);
    }
    eventually("under way", async || server.readiness.under_way() == 3).await;
    let start = std::time::Instant::now();
    server.readiness.drain();
    assert_eq!(server.stopped.await.unwrap(), 3);
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    eventually("cut off", async || server.readiness.under_way() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_ends_takes_no_connection_from_another() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let proxy = ChaosProxy::start(database.address()).await;
    for round in 0..4 {
        proxy.delay(Duration::ZERO);
        let server = Server::with(Options::at(database.url_through(proxy.address())));
        let ada = server.caller(&people.ada_token);
        // Both workers have used every connection by then.
        for _ in 0..5 {
            let requests = (0..8).map(|_| ada.get("/api/v1/agents"));
            futures_util::future::join_all(requests).await;
        }
        proxy.delay(Duration::from_millis(150));
        let request = ada.request(Method::GET, "/api/v1/agents");
        let slow = tokio::spawn(answer(request));
        eventually("asked", async || server.pool.statistics().active == 1).await;
        server.handle.stop(true).await;
        let slow = slow.await.unwrap();
        assert_eq!(slow.status, 200, "round {round}: {slow:?}");
    }
}
