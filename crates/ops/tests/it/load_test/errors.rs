use std::time::Duration;

use parlant_ops_core::load_test::{ErrorReport, Kind, Plan, Progress, Report, Target};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::{closed, only, open, plan, run, scenario};

fn kind(report: &Report, wanted: Kind) -> &ErrorReport {
    let found = only(report).error_kinds.iter().find(|error| error.kind == wanted);
    found.unwrap_or_else(|| panic!("no {wanted:?}: {report:#?}"))
}

#[tokio::test]
async fn each_kind_of_error_is_counted_with_its_latencies_and_an_example() {
    let server = Server::start().await;
    for (path, expected, example) in [
        ("/reset", Kind::Reset, "reset"),
        ("/cut", Kind::Closed, "end of file"),
        ("/closing", Kind::Closed, "closed"),
        ("/hanging", Kind::Timeout, "in time"),
        ("/garbage", Kind::Protocol, "invalid"),
        ("/unauthorized", Kind::UnexpectedStatus, "status 401, request request-2"),
        ("/unavailable", Kind::UnexpectedStatus, "status 503"),
        ("/redirect", Kind::UnexpectedStatus, "status 302"),
    ] {
        let mut plan = plan(&server, vec![scenario(path, &json!({}))], closed(2, 4)).await;
        plan.timeout = Duration::from_millis(1500);
        let report = run(plan).await;
        let (seen, error) = (only(&report), kind(&report, expected));
        assert_eq!((seen.requests, seen.good, seen.errors, seen.error_rate), (4, 0, 4, Some(1.0)), "{report:#?}");
        assert_eq!((error.latency_seconds.count, seen.latency_seconds.count), (4, 4), "{report:#?}");
        assert!(error.example.contains(example), "{error:?}");
        if expected == Kind::Timeout {
            assert!(error.latency_seconds.min.unwrap() >= 1.499, "{error:?}");
        }
        if expected == Kind::Reset {
            assert!(seen.bytes == 36 && error.latency_seconds.min.unwrap() >= 0.05, "{seen:?}");
        }
        assert!(!report.met, "{report:#?}");
    }
    assert!(server.last().starts_with("GET /redirect "), "no redirect is followed: {}", server.last());
}

#[tokio::test]
async fn whole_answers_are_told_apart_by_status_and_what_is_expected_is_no_error() {
    let server = Server::start().await;
    let unauthorized = scenario("/unauthorized", &json!({ "expect": [401, 403] }));
    let report = run(plan(&server, vec![unauthorized], closed(1, 3)).await).await;
    assert!(report.met && only(&report).good == 3, "{report:#?}");

    let scenarios = vec![scenario("/ok", &json!({})), scenario("/unauthorized", &json!({}))];
    let report = run(plan(&server, scenarios, closed(1, 3)).await).await;
    let status = &report.loads[1].scenarios[0].statuses[0];
    assert_eq!((status.status, status.expected, status.latency_seconds.count), (401, false, 3));
    assert!(report.notes.iter().any(|note| note.starts_with("/unauthorized") && note.contains("(401)")), "{report:#?}");
    assert!(report.thresholds[0].met && !report.thresholds[1].met, "{report:#?}");
}

#[tokio::test]
async fn a_server_that_goes_away_is_refused_connections() {
    let mut server = Server::start().await;
    let mut plan = plan(&server, vec![scenario("/ok", &json!({}))], open(50.0, Duration::from_secs(2))).await;
    plan.keep_alive = false;
    let (progress, stop) = (watch::Sender::default(), CancellationToken::new());
    let mut watching = progress.subscribe();
    let going = async {
        watching.wait_for(|progress: &Progress| progress.requests > 5).await.unwrap();
        server.refuse().await;
    };
    let (report, ()) = tokio::join!(plan.run(&progress, &stop), going);
    let report = report.unwrap();
    let (seen, refused) = (only(&report), kind(&report, Kind::ConnectRefused));
    assert_eq!(seen.requests, 100, "{report:#?}");
    assert!(seen.good > 5 && refused.latency_seconds.count > 10, "{report:#?}");
    assert!(refused.first_at_seconds > 0.0 && refused.example.contains("refused"), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_accepts_nothing_any_more_is_a_connect_timeout() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // The kernel completes as many connections as this says, and one more; the others get no answer.
    let full = socket.listen(3).unwrap();
    let url = format!("http://{}", full.local_addr().unwrap());
    let server = Server::start().await;
    let plan = plan(&server, vec![scenario("/ok", &json!({}))], closed(8, 8)).await;
    let target = Target::resolve(&url, false).await.unwrap();
    let report = run(Plan { target, timeout: Duration::from_secs(1), ..plan }).await;
    let (connect, answer) = (kind(&report, Kind::ConnectTimeout), kind(&report, Kind::Timeout));
    assert_eq!(connect.latency_seconds.count + answer.latency_seconds.count, 8, "{report:#?}");
    assert!(connect.latency_seconds.min.unwrap() >= 0.999, "{report:#?}");
}
