use std::time::Duration;

use super::server::{STALL, Server};
use super::{closed, only, open, plan, run, scenario};
use parlant_ops_core::load_test::LoadOptions;
use serde_json::json;

/// Holds one stall.
const TIME: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn the_open_model_shows_a_stall_and_the_closed_one_says_that_it_cannot() {
    let server = Server::start().await;
    let stalling = || vec![scenario("/stalling", &json!({}))];
    let open = plan(&server, stalling(), open(200.0, TIME)).await;
    let closed = LoadOptions { requests: None, duration: Some(TIME), ..closed(10, 1) };
    let closed = plan(&server, stalling(), closed).await;
    let (open, closed) = tokio::join!(run(open), run(closed));

    let seen = only(&open);
    assert_eq!((seen.requests, seen.errors, seen.unsent), (2000, 0, 0), "{open:#?}");
    let p99 = seen.latency_seconds.p99.unwrap();
    println!(
        "open: p50 {:?}, p99 {p99}, lag p99 {:?}",
        seen.latency_seconds.p50, open.loads[0].generator.lag_seconds.p99
    );
    assert!((1.7..2.5).contains(&p99), "users wait for up to two seconds: {open:#?}");
    assert!(open.loads[0].silence.is_none());

    let hidden = only(&closed);
    let p99 = hidden.latency_seconds.p99.unwrap();
    let silence = closed.loads[0].silence.as_ref().unwrap();
    println!("closed: p99 {p99}, max {:?}, of {}, {silence:?}", hidden.latency_seconds.max, hidden.requests);
    assert!(hidden.requests > 1000, "{closed:#?}");
    assert!(p99 < 1.0, "ten of them met the stall: {closed:#?}");
    assert!(hidden.latency_seconds.max.unwrap() > STALL.as_secs_f64() * 0.9, "{closed:#?}");
    assert!((0.15..0.5).contains(&silence.share) && silence.longest_seconds > 1.7, "{silence:?}");
    let note = &closed.notes[0];
    let share = format!("Nothing was sent in {:.1} % of the time", silence.share * 100.0);
    assert!(
        note.contains("what a stall keeps from being sent is not in the latencies") && note.contains(&share),
        "{note}"
    );
}
