//! `/metrics`: what it says, to whom, and that it waits for nobody.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use parlant_api::{Endpoint, Readiness, serve_metrics};
use parlant_metrics::Snapshot;
use parlant_test_support::{ChaosProxy, database};
use reqwest::Method;

use crate::house::{Options, People, Server, answer, eventually, scrape, scraped};

#[tokio::test]
async fn a_scrape_is_text_with_every_number_and_is_counted_itself() {
    let database = database().await;
    let server = Server::start(&database);
    let before = server.get("/metrics").await;
    assert_eq!(before.status, 200);
    assert_eq!(before.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(before.header("cache-control"), "no-store");
    let head = answer(server.request(Method::HEAD, "/metrics/")).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));

    let page = Snapshot::parse(&server.get("/metrics").await.text);
    for name in [
        "parlant_http_requests_total",
        "parlant_http_requests_in_flight",
        "parlant_database_connections_max",
        "parlant_auth_validations_total",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ] {
        assert!(page.sum(name, &[]).is_some(), "{name}");
    }
    assert!(page.sum("parlant_http_requests_in_flight", &[]) >= Some(1.0), "the scrape itself");
    let own = |method| [("method", method), ("endpoint", "/metrics"), ("status", "200")];
    assert!(page.sum("parlant_http_requests_total", &own("GET")) >= Some(1.0));
    assert!(page.sum("parlant_http_requests_total", &own("HEAD")) >= Some(1.0));
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_set() {
    let database = database().await;
    let mut options = Options::new(&database);
    options.metrics = Some(scrape(Some("open sesame")));
    let server = Server::with(options);
    let with = |authorization: &'static str| {
        let request = server.request(Method::GET, "/metrics");
        answer(request.header("authorization", authorization))
    };
    for refused in [
        server.get("/metrics").await,
        with("Bearer open sesam").await,
        with("Bearer open sesame!").await,
        with("Bearer Open sesame").await,
        with("Bearer ").await,
        with("Bearer").await,
        with("Basic open sesame").await,
        with("open sesame").await,
    ] {
        refused.refused(401, "AUTHENTICATION_REQUIRED");
        assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"parlant\"");
    }
    for admitted in ["Bearer open sesame", "bearer  open sesame"] {
        let page = with(admitted).await;
        assert_eq!(page.status, 200);
        assert!(!page.text.contains("sesame"));
    }
}

#[tokio::test]
async fn where_metrics_are_off_there_is_no_such_path() {
    let database = database().await;
    let mut options = Options::new(&database);
    options.metrics = None;
    let server = Server::with(options);
    server.get("/metrics").await.refused(404, "NOT_FOUND");
}

/// Far less than any timeout of the database's, and far more than a busy machine needs.
const AT_ONCE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_or_hangs_does_not_delay_a_scrape() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let people = People::of(&database.sim().await).await;
    let server = Server::with(Options::at(database.url_through(proxy.address())));
    let ada = server.caller(&people.ada_token);
    ada.get("/api/v1/agents").await.expect(200);
    for hangs in [true, false] {
        if hangs {
            proxy.hang();
        } else {
            proxy.restore().await;
            proxy.refuse().await;
            proxy.cut();
        }
        let waiting = (0..8).map(|_| ada.get("/api/v1/agents"));
        let scraping = async {
            for _ in 0..10 {
                for path in ["/metrics", "/livez"] {
                    let asked = Instant::now();
                    assert_eq!(server.get(path).await.status, 200);
                    assert!(asked.elapsed() < AT_ONCE, "{path} {:?} hangs={hangs}", asked.elapsed());
                }
            }
        };
        tokio::select! {
            () = scraping => {}
            _ = futures_util::future::join_all(waiting), if hangs => panic!("served by a database that hangs"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a worker that is blocked is what this is about")]
async fn blocks_its_worker() -> HttpResponse {
    std::thread::sleep(Duration::from_secs(3));
    HttpResponse::Ok().finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_listener_answers_while_every_worker_is_busy() {
    let database = database().await;
    let mut options = Options::new(&database);
    options.more = |config| Endpoint::new("/test/blocks").get(blocks_its_worker).mount(config);
    let server = Server::with(options);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let alone = serve_metrics(listener, scrape(Some("open sesame")), Readiness::new()).unwrap();
    let handle = alone.handle();
    tokio::spawn(alone);

    let started = Instant::now();
    let blocked = (0..4).map(|_| server.get("/test/blocks"));
    let scraping = async {
        let in_flight = || scraped(parlant_api::metrics::IN_FLIGHT, &[]);
        eventually("busy", async || in_flight() >= 2.0).await;
        for (path, token, status) in
            [("metrics", "open sesame", 200), ("metrics", "please", 401), ("livez", "open sesame", 404)]
        {
            let request = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
            let request = request.get(format!("http://{address}/{path}")).bearer_auth(token);
            assert_eq!(answer(request).await.status, status, "{path}");
        }
        started.elapsed()
    };
    let (_, took) = futures_util::join!(futures_util::future::join_all(blocked), scraping);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(started.elapsed() >= Duration::from_secs(3), "the workers were busy");
    handle.stop(false).await;
}
