//! The metrics by their exported names, labels and exact values: one application alone with its recorder.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::to_bytes;
use actix_web::http::Method as ActixMethod;
use actix_web::test::{TestRequest, call_and_read_body, init_service};
use actix_web::web::{Bytes, Path, ServiceConfig};
use futures_util::{FutureExt, StreamExt, stream};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parlant_api::{Endpoint, app};
use parlant_metrics::Snapshot;
use parlant_test_support::database;

use crate::house::Options;

/// The lines of `name` and everything made of it, which must be as these.
#[track_caller]
fn assert_lines(handle: &PrometheusHandle, name: &str, with: &str, expected: &[&str]) {
    let text = handle.render();
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with(name) && line.contains(with)).collect();
    lines.sort_unstable();
    assert_eq!(lines, expected, "{text}");
}

#[tokio::test]
async fn what_is_exported_is_known_in_advance_and_counts_each_request_once() {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &[10.0])
        .unwrap()
        .build_recorder();
    let handle = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);

    let database = database().await;
    let (state, _) = Options::new(&database).state();
    let app = init_service(app(&state, &[])).await;
    let none = r#"method="GET",endpoint="/livez""#;
    let requests = "parlant_http_requests_total";
    let duration = "parlant_http_request_duration_seconds";
    assert_lines(
        &handle,
        requests,
        none,
        &[
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="200"} 0"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="400"} 0"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="401"} 0"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="403"} 0"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="404"} 0"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="429"} 0"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="499"} 0"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="500"} 0"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="503"} 0"#,
        ],
    );
    assert_lines(
        &handle,
        duration,
        none,
        &[
            r#"parlant_http_request_duration_seconds_bucket{method="GET",endpoint="/livez",le="+Inf"} 0"#,
            r#"parlant_http_request_duration_seconds_bucket{method="GET",endpoint="/livez",le="10"} 0"#,
            r#"parlant_http_request_duration_seconds_count{method="GET",endpoint="/livez"} 0"#,
            r#"parlant_http_request_duration_seconds_sum{method="GET",endpoint="/livez"} 0"#,
        ],
    );
    for (method, endpoint, status) in [
        ("GET", "/health", "200"),
        ("POST", "/api/v1/auth/validate", "200"),
        ("POST", "/api/v1/agents", "201"),
        ("PATCH", "/api/v1/agents/{id}", "200"),
        ("DELETE", "/api/v1/agents/sessions/{id}", "200"),
        ("POST", "/api/v1/agents/sessions/{id}/messages", "201"),
    ] {
        let labels = format!(r#"method="{method}",endpoint="{endpoint}",status="{status}""#);
        let line = format!("{requests}{{{labels}}} 0");
        assert_lines(&handle, requests, &labels, &[&line]);
    }

    for _ in 0..2 {
        call_and_read_body(&app, TestRequest::get().uri("/livez").to_request()).await;
    }
    let method = "BREW".parse().unwrap();
    let brew = TestRequest::with_uri("/livez").method(method).to_request();
    call_and_read_body(&app, brew).await;
    let invented = TestRequest::post().uri("/invented/1").to_request();
    call_and_read_body(&app, invented).await;
    // A request that is dropped before its answer is read was hung up.
    drop(actix_web::test::call_service(&app, TestRequest::get().uri("/livez").to_request()).await);

    for (method, endpoint, status, count) in [
        ("GET", "/livez", "200", 2),
        ("GET", "/livez", "499", 1),
        ("GET", "/livez", "500", 0),
        ("HEAD", "/livez", "200", 0),
        ("OTHER", "/livez", "405", 1),
        ("POST", "unmatched", "404", 1),
        ("GET", "unmatched", "404", 0),
    ] {
        let labels = format!(r#"method="{method}",endpoint="{endpoint}",status="{status}""#);
        let line = format!("{requests}{{{labels}}} {count}");
        assert_lines(&handle, requests, &labels, &[&line]);
    }
    let count = r#"parlant_http_request_duration_seconds_count{method="GET",endpoint="/livez"} 3"#;
    assert_lines(&handle, &format!("{duration}_count"), none, &[count]);
    let in_flight = "parlant_http_requests_in_flight";
    assert_lines(&handle, in_flight, "", &["parlant_http_requests_in_flight 0"]);
    for kind in [
        "# TYPE parlant_http_requests_total counter",
        "# TYPE parlant_http_request_duration_seconds histogram",
        "# TYPE parlant_http_requests_in_flight gauge",
    ] {
        assert_lines(&handle, kind, "", &[kind]);
    }
    let text = handle.render();
    let families = |kind| text.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!(families("# HELP"), families("# TYPE"), "each says what it is: {text}");
}

/// Ways in which an answer may not come to its end.
fn misbehaving(config: &mut ServiceConfig) {
    Endpoint::new("/test/panics").get(panics).mount(config);
    Endpoint::new("/test/stream/{end}").get(streams).mount(config);
}

async fn panics() -> HttpResponse {
    panic!("as it was told")
}

async fn streams(end: Path<String>) -> HttpResponse {
    let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"piece")) });
    let rest = stream::once(async move {
        match end.as_str() {
            "good" => Ok(Bytes::from_static(b"last")),
            "broken" => Err(std::io::Error::other("as it was told")),
            "panic" => panic!("as it was told"),
            _ => std::future::pending().await,
        }
    });
    HttpResponse::Ok().streaming(first.chain(rest))
}

#[tokio::test]
async fn however_an_answer_ends_it_is_counted_once_and_is_no_longer_in_flight() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let database = database().await;
    let (state, _) = Options::new(&database).state();
    let app = init_service(app(&state, &[]).configure(misbehaving)).await;
    let number = |name: &str, labels: &[(&str, &str)]| Snapshot::parse(&handle.render()).sum(name, labels);
    let all = || number("parlant_http_requests_total", &[]);
    let (stream, panics) = ("/test/stream/{end}", "/test/panics");
    for (index, (path, endpoint, status)) in [
        ("/test/panics", panics, "500"),
        ("/test/stream/good", stream, "200"),
        ("/test/stream/broken", stream, "500"),
        ("/test/stream/panic", stream, "500"),
        ("/test/stream/pending", stream, "499"),
        ("/nowhere", "unmatched", "404"),
    ]
    .into_iter()
    .enumerate()
    {
        let labels = [("endpoint", endpoint), ("status", status)];
        let before = number("parlant_http_requests_total", &labels);
        let answer = actix_web::test::call_service(&app, TestRequest::get().uri(path).to_request()).await;
        assert_eq!(number("parlant_http_requests_in_flight", &[]), Some(1.0), "{path}");
        let read = tokio::time::timeout(Duration::from_millis(50), to_bytes(answer.into_body()));
        drop(AssertUnwindSafe(read).catch_unwind().await);
        assert_eq!(number("parlant_http_requests_in_flight", &[]), Some(0.0), "{path}");
        let after = number("parlant_http_requests_total", &labels);
        assert_eq!(after, Some(before.unwrap_or_default() + 1.0), "{path}");
        assert_eq!(all(), Some(index as f64 + 1.0), "{path}");
    }
}

#[tokio::test]
async fn what_clients_invent_makes_no_new_series() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let database = database().await;
    let mut options = Options::new(&database);
    options.cors_origins = vec!["https://sim.example.com".to_owned()];
    let (state, _) = options.state();
    let app = init_service(app(&state, &options.cors_origins)).await;
    let series = || Snapshot::parse(&handle.render()).iter().count();
    let before = series();
    for index in 0..10_000 {
        let noise: String = (0..8).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let path = match index % 8 {
            0 => "/livez".to_owned(),
            1 => format!("/api/v1/agents/{noise}"),
            2 => format!("/api/v1/agents/sessions/{noise}/messages?{noise}={noise}"),
            3 => format!("/api/v1/auth/workspaces/{noise}/access"),
            4 => format!("/metrics/{noise}"),
            _ => format!("/{noise}/{index}"),
        };
        let method = match index % 5 {
            0 => noise.to_uppercase().parse().unwrap(),
            1 => ActixMethod::POST,
            2 => ActixMethod::TRACE,
            3 => ActixMethod::PUT,
            _ => ActixMethod::GET,
        };
        let request = TestRequest::with_uri(&path)
            .method(method)
            .insert_header(("host", format!("{noise}.example")))
            .insert_header(("origin", format!("https://{noise}.example")))
            .insert_header(("user-agent", noise.as_str()))
            .insert_header(("x-request-id", noise.as_str()))
            .to_request();
        call_and_read_body(&app, request).await;
    }
    assert_eq!(series(), before, "{}", handle.render());
}
