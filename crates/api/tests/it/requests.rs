//! What happens around every request: ids, traces, the log's line, the numbers, hang-ups, panics.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::dev::ServiceResponse;
use actix_web::error::ErrorBadGateway;
use actix_web::http::Method as ActixMethod;
use actix_web::http::StatusCode as ActixStatus;
use actix_web::web::{self, Bytes, ServiceConfig};
use futures_util::{StreamExt, stream};
use parlant_api::Endpoint;
use parlant_test_support::database;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{Answer, Options, People, Server, answer, completed, eventually, logged, scraped};

/// Routes that do what ours must not. Each test has its own, since the numbers are the process's.
fn misbehaving(config: &mut ServiceConfig) {
    Endpoint::new("/test/panic").get(panics).mount(config);
    Endpoint::new("/test/panic-counted").get(panics).mount(config);
    Endpoint::new("/test/slow").get(slow).mount(config);
    Endpoint::new("/test/slow-body").get(slow_body).mount(config);
    Endpoint::new("/test/stream").get(stream_of_three).mount(config);
    Endpoint::new("/test/broken-stream").get(broken_stream).mount(config);
    Endpoint::new("/test/panic-stream").get(panic_stream).mount(config);
    Endpoint::new("/test/brew").on(ActixMethod::POST, ActixStatus::OK, HttpResponse::Ok).mount(config);
    // A middleware that gives up and takes the request with it.
    config.service(web::resource("/test/gives-up").wrap_fn(|request, _| {
        drop(request);
        async { Err::<ServiceResponse, _>(ErrorBadGateway("a secret of the middleware's")) }
    }));
}

async fn panics() -> HttpResponse {
    panic!("a secret of the handler's")
}

/// How often [`slow`] and [`slow_body`] were asked.
static SLOW: AtomicUsize = AtomicUsize::new(0);

async fn slow() -> HttpResponse {
    SLOW.fetch_add(1, Ordering::Relaxed);
    std::future::pending().await
}

fn pieces(count: usize) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::iter((0..count).map(|_| Ok(Bytes::from_static(b"piece"))))
}

async fn slow_body() -> HttpResponse {
    SLOW.fetch_add(1, Ordering::Relaxed);
    HttpResponse::Ok().streaming(pieces(1).chain(stream::pending()))
}

async fn stream_of_three() -> HttpResponse {
    let pause = stream::once(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(Bytes::from_static(b"last"))
    });
    HttpResponse::Ok().streaming(pieces(2).chain(pause))
}

async fn broken_stream() -> HttpResponse {
    let error = stream::once(async { Err(std::io::Error::other("disk on fire")) });
    HttpResponse::Ok().streaming(pieces(1).chain(error))
}

async fn panic_stream() -> HttpResponse {
    let panic = stream::once(async { panic!("a secret of the stream's") });
    HttpResponse::Ok().streaming(pieces(1).chain(panic))
}

async fn server() -> (Server, People) {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let mut options = Options::new(&database);
    options.more = misbehaving;
    (Server::with(options), people)
}

async fn with_id(server: &Server, method: Method, path: &str, id: &str) -> Answer {
    answer(server.request(method, path).header("x-request-id", id)).await
}

fn requests(method: &str, endpoint: &str, status: &str) -> f64 {
    let labels = [("method", method), ("endpoint", endpoint), ("status", status)];
    scraped(parlant_api::metrics::REQUESTS, &labels)
}

/// Sends bytes and gives what comes back until the server closes or nothing comes for a while.
async fn raw(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(2), read).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_safe_request_id_is_kept_and_another_replaced() {
    let (server, people) = server().await;
    for path in ["/livez", "/nowhere", "/api/v1/agents", "/test/panic"] {
        assert_eq!(with_id(&server, Method::GET, path, "id-1.A_b:2").await.header("x-request-id"), "id-1.A_b:2");
    }
    for bad in [&b""[..], b"a b", b"a\"b", b"\xff", b"{}", &[b'x'; 129]] {
        let request = server.request(Method::GET, "/livez").header("x-request-id", bad);
        let answer = answer(request).await;
        let id = answer.header("x-request-id");
        assert_eq!(id.len(), 36, "{id}");
        assert_eq!(&id[14..15], "7", "a UUIDv7: {id}");
    }
    let first = server.get("/livez").await.header("x-request-id").to_owned();
    let second = server.caller(&people.ada_token).get("/livez").await;
    assert_ne!(second.header("x-request-id"), first);
}

#[tokio::test]
async fn a_trace_goes_through() {
    let (server, _) = server().await;
    let incoming = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = server.request(Method::GET, "/livez").header("traceparent", incoming);
    let answered = answer(request.header("x-request-id", "traced")).await;
    let outgoing = answered.header("traceparent");
    assert!(outgoing.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{outgoing}");
    assert!(outgoing.ends_with("-01") && !outgoing.contains("00f067aa0ba902b7"));
    let line = completed("traced").await;
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");

    let fresh = server.get("/livez").await;
    let fresh = fresh.header("traceparent").to_owned();
    assert_eq!(fresh.len(), 55);
    let request = server.request(Method::GET, "/livez").header("traceparent", "00-nonsense");
    let other = answer(request).await;
    assert_ne!(other.header("traceparent")[3..35], fresh[3..35]);
}

#[tokio::test]
async fn every_answer_has_the_headers_of_every_answer() {
    let (server, _) = server().await;
    for path in ["/livez", "/health", "/api/v1/agents", "/nowhere", "/test/panic"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn the_completed_line_has_the_context_and_never_the_query() {
    let (server, people) = server().await;
    let path = format!("/api/v1/agents?workspace_id={}&limit=7", people.workspace);
    let request = server.caller(&people.ada_token).request(Method::GET, &path);
    let answered = answer(request.header("x-request-id", "line-1")).await;
    answered.expect(200);
    let line = completed("line-1").await;
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/api/v1/agents");
    assert_eq!(line["user_id"], *people.ada);
    assert_eq!(line["workspace_id"], *people.workspace);
    assert_eq!(line["status_code"], 200);
    assert_eq!(line["bytes"], answered.text.len());
    assert_eq!(line["client"], "127.0.0.1");
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    let text = line.to_string();
    assert!(!text.contains("limit=7") && !text.contains(&people.ada_token), "{text}");

    with_id(&server, Method::GET, "/nowhere/secret", "line-2").await;
    let line = completed("line-2").await;
    assert_eq!(line["path"], "unmatched");
    assert_eq!(line["user_id"], Value::Null);
    assert!(!line.to_string().contains("secret"));

    let agent = json!({"workspace_id": people.workspace, "name": "Logged"});
    let agent = server.caller(&people.ada_token).post("/api/v1/agents", &agent).await;
    let request = server.caller(&people.ada_token).request(Method::GET, agent.header("location"));
    answer(request.header("x-request-id", "line-3")).await.expect(200);
    let line = completed("line-3").await;
    assert_eq!(line["path"], "/api/v1/agents/{id}");
    assert_eq!(line["workspace_id"], *people.workspace);

    let head = with_id(&server, Method::HEAD, "/livez", "line-4").await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    assert_ne!(head.header("content-length"), "0");
    let line = completed("line-4").await;
    assert_eq!((&line["method"], &line["bytes"]), (&json!("HEAD"), &json!(0)));
}

#[tokio::test]
async fn paths_may_end_with_a_slash() {
    let (server, people) = server().await;
    for path in ["/livez/", "/livez//", "//livez", "/livez/?a=b"] {
        server.get(path).await.expect(200);
    }
    let ada = server.caller(&people.ada_token);
    ada.get("/api/v1/agents/?limit=1").await.expect(200);
    let new = json!({"workspace_id": people.workspace, "name": "Slash"});
    ada.post("/api/v1/agents/", &new).await.expect(201);
    server.get("/").await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told() {
    let (server, people) = server().await;
    for path in ["/", "/nowhere", "/api", "/api/v1", "/api/v1/agents/a/b", "/api/v2/agents", "/%00", "/livez%2F"] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            let missing = answer(server.request(method, path)).await;
            missing.refused(404, "NOT_FOUND");
        }
    }
    let head = answer(server.request(Method::HEAD, "/nowhere")).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (404, ""));
    let workspace = &people.workspace;
    for (path, allowed) in [
        ("/livez", vec!["GET", "HEAD"]),
        ("/health", vec!["GET", "HEAD"]),
        ("/api/v1/auth/status", vec!["GET", "HEAD"]),
        ("/api/v1/auth/validate", vec!["POST"]),
        (&format!("/api/v1/auth/workspaces/{workspace}/context"), vec!["POST"]),
        ("/api/v1/agents", vec!["GET", "HEAD", "POST"]),
        ("/api/v1/agents/x", vec!["DELETE", "GET", "HEAD", "PATCH"]),
        ("/api/v1/agents/sessions", vec!["GET", "HEAD", "POST"]),
        ("/api/v1/agents/sessions/x", vec!["DELETE", "GET", "HEAD"]),
        ("/api/v1/agents/sessions/x/messages", vec!["GET", "HEAD", "POST"]),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if allowed.contains(&method) {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let refused = answer(server.request(method, path)).await;
            refused.refused(405, "METHOD_NOT_ALLOWED");
            let mut told: Vec<_> = refused.header("allow").split(", ").collect();
            told.sort_unstable();
            assert_eq!(told, allowed, "{path}");
        }
    }
}

#[tokio::test]
async fn what_anybody_can_invent_makes_no_new_series() {
    let (server, _) = server().await;
    for invented in ["BREW", "FROB"] {
        let method = Method::from_bytes(invented.as_bytes()).unwrap();
        answer(server.request(method, "/test/brew")).await.refused(405, "METHOD_NOT_ALLOWED");
        let method = Method::from_bytes(invented.as_bytes()).unwrap();
        let path = format!("/invented/{invented}");
        answer(server.request(method, &path)).await.refused(404, "NOT_FOUND");
    }
    eventually("both counted", async || requests("OTHER", "/test/brew", "405") >= 2.0).await;
    assert!(requests("OTHER", "unmatched", "404") >= 2.0);
    let text = crate::house::exporter().render();
    assert!(!text.contains("BREW") && !text.contains("invented"), "{text}");
}

#[tokio::test]
async fn a_panic_is_answered_and_counted_once() {
    let (server, _) = server().await;
    for round in 1_u8..=3 {
        let id = format!("panic-{round}");
        let answered = with_id(&server, Method::GET, "/test/panic-counted", &id).await;
        let details = answered.refused(500, "INTERNAL_ERROR");
        assert_eq!(details, Value::Null);
        assert!(!answered.text.contains("secret"), "{answered:?}");
        let line = completed(&id).await;
        assert_eq!(line["status_code"], 500);
        assert_eq!(line["path"], "/test/panic-counted");
        let counted = requests("GET", "/test/panic-counted", "500");
        assert!((counted - f64::from(round)).abs() < 0.1, "{counted}");
    }
    server.get("/livez").await.expect(200);
}

#[tokio::test]
async fn a_middleware_that_gives_up_is_answered_for() {
    let (server, _) = server().await;
    let answered = with_id(&server, Method::GET, "/test/gives-up", "given-up").await;
    answered.refused(502, "INTERNAL_ERROR");
    assert!(!answered.text.contains("secret"), "{answered:?}");
    assert_eq!(answered.header("x-request-id"), "given-up");
    assert_eq!(completed("given-up").await["status_code"], 502);
    assert_eq!(logged("given-up").len(), 2, "the cause and the end");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_its_line() {
    let (server, _) = server().await;
    for (asked, path, id) in [(1, "/test/slow", "gone-1"), (2, "/test/slow-body", "gone-2")] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        eventually("asked", async || SLOW.load(Ordering::Relaxed) == asked).await;
        if id == "gone-2" {
            let mut byte = [0; 1];
            stream.read_exact(&mut byte).await.unwrap();
        }
        drop(stream);
        let line = completed(id).await;
        assert_eq!(line["status_code"], 499);
        assert_eq!(line["path"], path);
        assert_eq!(line["client"], "127.0.0.1");
        assert!((requests("GET", path, "499") - 1.0).abs() < 0.1);
        assert_eq!(logged(id).len(), 1);
    }

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head =
        "POST /api/v1/auth/validate HTTP/1.1\r\nhost: x\r\nx-request-id: gone-3\r\ncontent-type: application/json";
    let half = format!("{head}\r\ncontent-length: 9\r\n\r\n{{");
    stream.write_all(half.as_bytes()).await.unwrap();
    drop(stream);
    assert_eq!(completed("gone-3").await["status_code"], 499);
}

#[tokio::test]
async fn a_streamed_answer_is_counted_at_its_end() {
    let (server, _) = server().await;
    let answered = with_id(&server, Method::GET, "/test/stream", "stream-1").await;
    assert_eq!(answered.text, "piecepiecelast");
    let line = completed("stream-1").await;
    assert_eq!((&line["status_code"], &line["bytes"]), (&json!(200), &json!(14)));
    assert!(line["duration_ms"].as_f64().unwrap() >= 50.0);

    for (path, id) in [("/test/broken-stream", "stream-2"), ("/test/panic-stream", "stream-3")] {
        let request = server.request(Method::GET, path);
        // Whether the head went out before the body broke is the network's affair.
        if let Ok(response) = request.header("x-request-id", id).send().await {
            assert!(response.text().await.is_err(), "the answer broke off");
        }
        let line = completed(id).await;
        assert_eq!(line["status_code"], 500, "{path}");
        assert!((requests("GET", path, "500") - 1.0).abs() < 0.1, "{path}");
        assert!((requests("GET", path, "200") + requests("GET", path, "499")).abs() < 0.1, "{path}");
    }
}

#[tokio::test]
async fn odd_but_legal_requests_are_answered() {
    let (server, _) = server().await;
    let close = "host: x\r\nconnection: close\r\n\r\n";
    for (request, status) in [
        (format!("GET http://elsewhere.example/livez HTTP/1.1\r\n{close}"), "200"),
        (format!("OPTIONS * HTTP/1.1\r\n{close}"), "404"),
        (format!("GET /livez?%00%ff=%zz HTTP/1.1\r\n{close}"), "200"),
        (format!("GET /livez HTTP/1.0\r\n{close}"), "200"),
        (format!("GET /livez/%2e%2e/%ff HTTP/1.1\r\n{close}"), "404"),
        (format!("GET /livez HTTP/1.1\r\nx: {}\r\n{close}", "y".repeat(8000)), "200"),
    ] {
        let answer = raw(&server, request.as_bytes()).await;
        let status_line = answer.lines().next().unwrap_or_default().to_owned();
        assert!(status_line.contains(status), "{request:.80}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("x-request-id: "), "{answer}");
    }
    // What cannot be read at all is refused before it is a request.
    let answer = raw(&server, b"nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    server.get("/livez").await.expect(200);
}
