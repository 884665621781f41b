//! The metrics by their exported names, labels and exact values: one application alone with its recorder.

use actix_web::test::{TestRequest, call_and_read_body, init_service};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parlant_api::app;
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
    let livez = r#"endpoint="/livez""#;
    let requests = "parlant_http_requests_total";
    let duration = "parlant_http_request_duration_seconds";
    assert_lines(
        &handle,
        requests,
        livez,
        &[
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="200"} 0"#,
            r#"parlant_http_requests_total{method="HEAD",endpoint="/livez",status="200"} 0"#,
        ],
    );
    let none = r#"method="GET",endpoint="/livez""#;
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

    assert_lines(
        &handle,
        requests,
        livez,
        &[
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="200"} 2"#,
            r#"parlant_http_requests_total{method="GET",endpoint="/livez",status="499"} 1"#,
            r#"parlant_http_requests_total{method="HEAD",endpoint="/livez",status="200"} 0"#,
            r#"parlant_http_requests_total{method="OTHER",endpoint="/livez",status="405"} 1"#,
        ],
    );
    let unmatched = r#"endpoint="unmatched""#;
    let line = r#"parlant_http_requests_total{method="POST",endpoint="unmatched",status="404"} 1"#;
    assert_lines(&handle, requests, unmatched, &[line]);
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
}
