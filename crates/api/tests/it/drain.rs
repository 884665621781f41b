//! The end of a server, without a dropped request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use parlant_api::Endpoint;
use parlant_test_support::{ChaosProxy, database};
use reqwest::Method;
use tokio::net::TcpStream;

use crate::house::{Options, People, Server, answer, eventually};

/// Whether [`second`] was.
static ASKED: AtomicBool = AtomicBool::new(false);

async fn second() -> HttpResponse {
    ASKED.store(true, Ordering::Relaxed);
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

#[tokio::test]
async fn a_graceful_stop_lets_requests_end_and_takes_no_new_ones() {
    let database = database().await;
    let mut options = Options::new(&database);
    options.more = |config| Endpoint::new("/test/second").get(second).mount(config);
    let server = Server::with(options);
    let slow = tokio::spawn(answer(server.request(Method::GET, "/test/second")));
    eventually("asked", async || ASKED.load(Ordering::Relaxed)).await;
    server.readiness.drain();
    server.handle.stop(true).await;
    let slow = slow.await.unwrap();
    assert_eq!(slow.expect(200), "done");
    assert!(TcpStream::connect(server.address).await.is_err());
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
