//! What a round of the evaluator costs, with 2,000 numbers and the 6 hours of history of which burn rates want to know.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a measurement that prints its figures or stops")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use parlant_alerting::{Evaluator, Source, rules};
use parlant_metrics::{Process, Snapshot};

/// Six hours of them, and some more.
const LOOKS: u32 = 750;
const INTERVAL: TimeDelta = TimeDelta::seconds(30);

/// What a server with 36 routes exports of which every `busy`th is used at all.
fn page(look: u32, busy: u32) -> String {
    let mut page = String::new();
    for route in 0..36 {
        let count = if route % busy == 0 { look * (route + 1) } else { 0 };
        let labels = format!(r#"method="GET",endpoint="/api/v1/things/{route}""#);
        for status in [200, 400, 401, 403, 404, 429, 499, 500, 503] {
            writeln!(page, r#"parlant_http_requests_total{{{labels},status="{status}"}} {count}"#).expect("text");
        }
        for bound in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"] {
            writeln!(page, r#"parlant_http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {count}"#)
                .expect("text");
        }
        writeln!(page, "parlant_http_request_duration_seconds_count{{{labels}}} {count}").expect("text");
    }
    for other in 0..2000 - 36 * 22 {
        writeln!(page, r#"parlant_other_total{{of="{other}"}} {look}"#).expect("text");
    }
    page
}

fn resident() -> u64 {
    Process::sample().expect("/proc").resident_bytes
}

fn main() {
    for (busy, what) in [(1, "every route is used all the time"), (6, "a sixth of the routes is used")] {
        let before = resident();
        let mut evaluator = Evaluator::new(&rules());
        // The best of several rounds: the others waited for a processor.
        let (mut now, mut observing, mut judging) = (DateTime::UNIX_EPOCH, Duration::MAX, Duration::MAX);
        for look in 0..LOOKS {
            let numbers = Snapshot::parse(&page(look, busy));
            now += INTERVAL;
            let start = Instant::now();
            evaluator.observe(now, Source::Server, &numbers);
            if look > LOOKS - 20 {
                observing = observing.min(start.elapsed());
                let start = Instant::now();
                let findings = evaluator.findings(now);
                judging = judging.min(start.elapsed());
                assert_eq!(findings.len(), rules().len());
            }
        }
        let kib = resident().saturating_sub(before) / 1024;
        println!("{what}: observe {observing:?}, findings {judging:?}, {kib} KiB");
    }
}
