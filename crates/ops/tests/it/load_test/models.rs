use std::time::Duration;

use parlant_ops_core::load_test::{Limits, LoadOptions, Model, Plan, Progress};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::{closed, only, open, plan, run, scenario};

#[tokio::test]
async fn a_closed_load_sends_exactly_its_requests_over_as_many_connections_as_clients() {
    let server = Server::start().await;
    let report = run(plan(&server, vec![scenario("/slow", &json!({}))], closed(5, 103)).await).await;
    let seen = only(&report);
    assert_eq!((seen.requests, seen.good, server.requests()), (103, 103, 103));
    // One more was tried first.
    assert_eq!((report.loads[0].connections, server.connections()), (5, 6));
    assert!(seen.latency_seconds.min.unwrap() >= 0.02 && seen.good_per_second < 251.0, "{seen:?}");
    assert!(report.met && !report.interrupted, "{report:#?}");
}

#[tokio::test]
async fn an_open_load_sends_what_is_due_and_latencies_and_rate_are_of_its_time() {
    let server = Server::start().await;
    let load = LoadOptions { requests: Some(50), ..open(100.0, Duration::from_mins(1)) };
    let report = run(plan(&server, vec![scenario("/ok", &json!({}))], load).await).await;
    let seen = only(&report);
    assert_eq!((seen.requests, seen.bytes, server.requests()), (50, 500, 50));
    assert!((report.loads[0].window_seconds - 0.5).abs() < 0.001, "{report:#?}");
    assert!((90.0..=100.0).contains(&seen.good_per_second), "{report:#?}");
    assert_eq!(report.loads[0].generator.lag_seconds.count, 50);
}

#[tokio::test]
async fn without_keep_alive_each_request_has_a_connection_of_its_own() {
    let server = Server::start().await;
    let plan = Plan { keep_alive: false, ..plan(&server, vec![scenario("/ok", &json!({}))], closed(2, 20)).await };
    assert_eq!(run(plan).await.loads[0].connections, 20);
    assert_eq!(server.connections(), 21);
}

#[tokio::test]
async fn a_warm_up_is_sent_and_not_counted_in_either_model() {
    let warm_up = Some(Duration::from_millis(300));
    for load in [closed(1, 10), LoadOptions { requests: Some(10), ..open(50.0, Duration::from_mins(1)) }] {
        let server = Server::start().await;
        let load = LoadOptions { warm_up, ..load };
        let report = run(plan(&server, vec![scenario("/slow", &json!({}))], load).await).await;
        assert_eq!(only(&report).requests, 10, "{report:#?}");
        assert!(server.requests() > 12, "{} were sent", server.requests());
    }
}

#[tokio::test]
async fn what_is_due_while_too_many_are_in_flight_is_counted_and_fails_the_run() {
    let server = Server::start().await;
    let load = LoadOptions { max_in_flight: Some(3), ..open(100.0, Duration::from_millis(500)) };
    let mut plan = plan(&server, vec![scenario("/hanging", &json!({}))], load).await;
    plan.timeout = Duration::from_secs(2);
    plan.limits = Limits { max_error_rate: Some(1.0), max_p50: Some(Duration::from_mins(1)), ..Limits::default() };
    let report = run(plan).await;
    let seen = only(&report);
    assert_eq!((seen.requests, seen.unsent, seen.error_rate), (3, 47, Some(1.0)), "{report:#?}");
    assert_eq!(report.loads[0].generator.unsent_over_limit, 47);
    assert!(
        report.notes.iter().any(|note| note.contains("47 requests were due while 3 were in flight")),
        "{report:#?}"
    );
    // None of those that were measured took so long, but most were never measured.
    assert!(report.thresholds.iter().any(|verdict| verdict.limit == "max_p50_seconds" && verdict.measured.is_none()));
    assert!(!report.met);
}

#[tokio::test]
async fn a_generator_that_does_not_keep_up_says_so() {
    let server = Server::start().await;
    let load = LoadOptions { max_in_flight: Some(50), ..open(1_000_000.0, Duration::from_millis(500)) };
    let report = run(plan(&server, vec![scenario("/ok", &json!({}))], load).await).await;
    let seen = only(&report);
    assert_eq!(seen.requests + seen.unsent, 500_000, "nothing is lost: {report:#?}");
    assert!(!report.met && seen.unsent > 0);
}

#[tokio::test]
async fn a_generator_that_is_starved_is_late_and_its_numbers_are_marked() {
    for load in [open(50.0, Duration::from_secs(1)), LoadOptions { requests: None, ..closed(1, 1) }] {
        let server = Server::start().await;
        let load = LoadOptions { duration: Some(Duration::from_secs(1)), ..load };
        let plan = plan(&server, vec![scenario("/ok", &json!({}))], load).await;
        let hog = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            // The only thread of this runtime.
            std::thread::park_timeout(Duration::from_millis(300));
        };
        let (report, ()) = tokio::join!(run(plan), hog);
        let generator = &report.loads[0].generator;
        assert!(generator.overloaded && generator.lag_seconds.max.unwrap() > 0.25, "{report:#?}");
        assert!(report.notes.iter().any(|note| note.contains("generator was overloaded")), "{:?}", report.notes);
    }
}

#[tokio::test]
async fn scenarios_with_a_weight_run_together_and_the_others_one_after_another() {
    let server = Server::start().await;
    let scenarios = vec![
        scenario("/ok", &json!({ "weight": 3 })),
        scenario("/slow", &json!({ "load": { "concurrency": 2, "requests": 7 } })),
        scenario("/unavailable", &json!({ "weight": 1, "expect": [503] })),
    ];
    let fallback = LoadOptions { requests: Some(40), ..open(200.0, Duration::from_mins(1)) };
    let loads = Plan::loads(scenarios, LoadOptions::default(), fallback).unwrap();
    let report = run(Plan { loads, ..plan(&server, Vec::new(), closed(1, 1)).await }).await;
    let requests = |load: usize| -> Vec<_> {
        report.loads[load].scenarios.iter().map(|scenario| (scenario.name.as_str(), scenario.requests)).collect()
    };
    assert_eq!((requests(0), report.loads[0].concurrency), (vec![("/slow", 7)], Some(2)));
    assert_eq!((requests(1), report.loads[1].rate_per_second), (vec![("/ok", 30), ("/unavailable", 10)], Some(200.0)));
    assert!(report.met, "{report:#?}");
}

#[tokio::test]
async fn a_run_that_is_stopped_reports_what_it_measured_and_what_it_gave_up() {
    for load in [open(100.0, Duration::from_mins(10)), LoadOptions { requests: None, ..closed(2, 1) }] {
        let server = Server::start().await;
        let load = LoadOptions { duration: Some(Duration::from_mins(10)), ..load };
        let scenarios = vec![scenario("/ok", &json!({ "weight": 9 })), scenario("/hanging", &json!({ "weight": 1 }))];
        let loads = Plan::loads(scenarios, load, LoadOptions::default()).unwrap();
        let closed = matches!(loads[0].0.model, Model::Closed { .. });
        let plan = Plan { loads, ..plan(&server, Vec::new(), load).await };
        let (progress, stop) = (watch::Sender::default(), CancellationToken::new());
        let mut watching = progress.subscribe();
        let enough = async {
            watching.wait_for(|progress: &Progress| progress.requests >= 10).await.unwrap();
            stop.cancel();
        };
        let (report, ()) = tokio::join!(plan.run(&progress, &stop), enough);
        let report = report.unwrap();
        assert!(report.interrupted && report.duration_seconds < 60.0, "{report:#?}");
        let [ok, hanging] = report.loads[0].scenarios.as_slice() else { panic!("{report:#?}") };
        assert!(ok.good >= 10 && hanging.requests == 0, "{report:#?}");
        assert!(hanging.unfinished >= 1 && hanging.oldest_unfinished_seconds > 0.0, "{report:#?}");
        assert!(!closed || hanging.unfinished + ok.unfinished <= 2, "{report:#?}");
    }
}
