//! What is believed, and when: with checks that do as they are told, in a time that passes as fast as it can.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parlant_health::{Check, Config, Monitor, Outcome, Running, Status};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::scripted::{Look, Scripted, TIMEOUT, error, exporter, status, watch};

const INTERVAL: Duration = Duration::from_secs(10);
const HEALTHY: Look = Look::Find(Status::Healthy);
const UNHEALTHY: Look = Look::Find(Status::Unhealthy);

#[tokio::test(start_paused = true)]
async fn a_monitor_relies_on_nothing_before_the_first_look_and_on_everything_right_after() {
    let check = Scripted::new("first", true, HEALTHY);
    let monitor = Monitor::new(Config::default(), "1.2.3", exporter(), vec![check]);
    assert_eq!(monitor.status(), Status::Unhealthy);
    assert_eq!(error(&monitor.report(), "first"), Some("has not been checked yet"));
    assert!(monitor.report().checks["first"].checked_at.is_none());

    let started = Instant::now();
    tokio::spawn(monitor.clone().run());
    assert_eq!(monitor.fresh().await.status, Status::Healthy);
    assert_eq!(monitor.status(), Status::Healthy);
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_or_panics_is_unhealthy_and_slows_or_breaks_no_other() {
    let hung = Scripted::new("hung", false, Look::Hang);
    let panicking = Scripted::new("panicking", false, Look::Panic);
    let good = Scripted::new("good", true, HEALTHY);
    let monitor = watch(INTERVAL, vec![hung.clone(), panicking.clone(), good.clone()]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(status(&monitor.report(), "good"), Status::Healthy);
    let report = monitor.fresh().await;
    assert_eq!((status(&report, "hung"), error(&report, "hung")), (Status::Unhealthy, Some("did not answer in time")));
    let took = report.checks["hung"].response_time_ms;
    assert!((TIMEOUT.as_millis() as f64 - took).abs() < 10.0, "{took}");
    assert_eq!(error(&report, "panicking"), Some("could not be checked"));
    assert_eq!(report.status, Status::Degraded, "none of them is critical");

    let before = good.looks();
    sleep(INTERVAL * 5).await;
    assert_eq!(good.looks() - before, 5);
    assert!((4..=6).contains(&(hung.looks() - 1)), "{}", hung.looks());
    panicking.tell(HEALTHY);
    hung.tell(HEALTHY);
    sleep(INTERVAL + TIMEOUT + TIMEOUT).await;
    assert_eq!(monitor.status(), Status::Healthy);
}

/// A check that cannot be stopped, since it blocks its thread.
struct Stuck {
    looks: Mutex<usize>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl Check for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn run(&self) -> Running<'_> {
        Box::pin(async {
            *self.looks.lock().unwrap() += 1;
            self.release.lock().unwrap().recv().unwrap();
            Outcome::healthy()
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_look_that_cannot_be_stopped_is_not_begun_again_until_it_ends() {
    let (release, released) = mpsc::channel();
    let stuck = Arc::new(Stuck { looks: Mutex::new(0), release: Mutex::new(released) });
    let good = Scripted::new("beside_stuck", true, HEALTHY);
    let monitor = watch(Duration::from_millis(50), vec![stuck.clone(), good.clone()]);
    while good.looks() < 10 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*stuck.looks.lock().unwrap(), 1);
    assert_eq!(error(&monitor.report(), "stuck"), Some("is still being checked"));
    for _ in 0..100 {
        release.send(()).unwrap();
    }
    while status(&monitor.report(), "stuck") != Status::Healthy {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_known_half_a_second_after_it_is_seen_and_over_within_a_second() {
    let check = Scripted::new("outage", true, HEALTHY);
    let monitor = watch(INTERVAL, vec![check.clone()]);
    monitor.fresh().await;
    check.tell(UNHEALTHY);
    sleep(INTERVAL + Duration::from_millis(100)).await;
    assert_eq!((check.looks(), monitor.status()), (2, Status::Healthy));
    sleep(Duration::from_millis(500)).await;
    assert_eq!((check.looks(), monitor.status()), (3, Status::Unhealthy));
    assert_eq!(error(&monitor.report(), "outage"), Some("is broken"));

    sleep(INTERVAL * 3).await;
    check.tell(HEALTHY);
    let back = Instant::now();
    while monitor.status() != Status::Healthy {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(back.elapsed() <= Duration::from_millis(1020), "{:?}", back.elapsed());
    assert_eq!(error(&monitor.report(), "outage"), None);
    let looks = check.looks();
    sleep(INTERVAL).await;
    assert!(check.looks() - looks <= 2, "the hurry is over");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_depends_on_is_not_checked_in_a_hurry() {
    let check = Scripted::new("leisurely", false, UNHEALTHY);
    let monitor = watch(INTERVAL, vec![check.clone()]);
    monitor.fresh().await;
    sleep(INTERVAL * 10).await;
    assert!(check.looks() <= 11, "{}", check.looks());
}

#[tokio::test(start_paused = true)]
async fn one_odd_look_changes_nothing() {
    let check = Scripted::new("odd", true, HEALTHY);
    let monitor = watch(INTERVAL, vec![check.clone()]);
    monitor.fresh().await;
    for odd in [UNHEALTHY, Look::Find(Status::Degraded), Look::Panic] {
        check.tell(odd);
        let looks = check.looks();
        while check.looks() == looks {
            sleep(Duration::from_millis(10)).await;
        }
        check.tell(HEALTHY);
        for _ in 0..100 {
            assert_eq!(monitor.status(), Status::Healthy);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_for_a_fresh_report_there_is_one_look() {
    let check = Scripted::new("asked_for", true, Look::Take(Duration::from_millis(700)));
    let monitor = watch(Duration::from_hours(1), vec![check.clone()]);
    monitor.fresh().await;
    assert_eq!(check.looks(), 1);
    for round in 2..5 {
        sleep(Duration::from_secs(5)).await;
        let asked = Instant::now();
        let reports = join_all((0..200).map(async |index| {
            // Some come while it is under way, and some when it has just ended.
            sleep(Duration::from_millis(index * 5)).await;
            monitor.fresh().await
        }));
        assert!(reports.await.iter().all(|report| report.status == Status::Healthy));
        assert_eq!(check.looks(), round);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_report_is_certain() {
    let check = Scripted::new("certain", true, HEALTHY);
    let monitor = watch(Duration::from_hours(1), vec![check.clone()]);
    monitor.fresh().await;
    sleep(Duration::from_secs(2)).await;
    check.tell(UNHEALTHY);
    assert_eq!(monitor.report().status, Status::Healthy);
    assert_eq!(monitor.fresh().await.status, Status::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn the_report_has_its_shape_and_strangers_see_no_findings() {
    let database = Scripted::new("database", true, HEALTHY);
    let other = Scripted::new("other", false, UNHEALTHY);
    let monitor = watch(INTERVAL, vec![database, other]);
    let report = monitor.fresh().await;
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let told = serde_json::to_value(&report).unwrap();
    assert_eq!(names(&told), "checks dependencies metrics overall_status service status timestamp version");
    assert_eq!((&told["status"], &told["overall_status"]), (&"degraded".into(), &"degraded".into()));
    assert_eq!((&told["service"], &told["version"]), (&"parlant-server".into(), &"1.2.3".into()));
    let check = &told["checks"]["other"];
    assert_eq!(names(check), "checked_at critical details error response_time_ms status");
    assert_eq!((&check["status"], &check["critical"]), (&"unhealthy".into(), &false.into()));
    assert_eq!((&check["error"], &check["details"]["legs"]), (&"is broken".into(), &0.into()));
    for time in [&told["timestamp"], &check["checked_at"]] {
        let time = time.as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(time).unwrap();
        assert!(time.len() <= "2026-01-01T00:00:00.000000Z".len() && time.ends_with('Z'), "{time}");
    }
    assert_eq!(names(&told["dependencies"]), "database");
    assert_eq!(names(&told["dependencies"]["database"]), "connection_pool response_time_ms status");
    let metrics = "active_sessions average_response_time_ms requests_per_minute total_agents";
    assert_eq!(names(&told["metrics"]), metrics);
    assert!(!told.to_string().contains("secret cause"));

    let told = serde_json::to_value(report.without_findings()).unwrap();
    assert_eq!(names(&told["checks"]["other"]), "checked_at critical response_time_ms status");
}

#[tokio::test(start_paused = true)]
async fn the_metrics_say_what_the_report_says() {
    let check = Scripted::new("measured", false, HEALTHY);
    let snapshot = || exporter().snapshot();
    let series = |name: &str| snapshot().sum(name, &[("check", "measured")]);
    let monitor = Monitor::new(Config::default(), "1.2.3", exporter(), vec![check.clone()]);
    assert_eq!(series("parlant_health_check_status"), Some(0.0));
    tokio::spawn(monitor.clone().run());
    monitor.fresh().await;
    assert_eq!(series("parlant_health_check_status"), Some(2.0));
    assert!(series("parlant_health_check_timestamp_seconds").unwrap() > 1.7e9);
    check.tell(Look::Hang);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(series("parlant_health_check_status"), Some(0.0));
    assert!((series("parlant_health_check_duration_seconds").unwrap() - 3.0).abs() < 0.1);
}

/// Keeps the overall status; the other tests' monitors have theirs in the process's recorder.
#[derive(Default)]
struct Overall(Arc<AtomicU64>);

impl Recorder for Overall {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() == "parlant_health_status" { Gauge::from_arc(Arc::clone(&self.0)) } else { Gauge::noop() }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_is_a_metric_that_changes_as_soon_as_it_does() {
    let (critical, other) = (Scripted::new("critical", true, HEALTHY), Scripted::new("other", false, HEALTHY));
    let overall = Overall::default();
    let monitor = metrics::with_local_recorder(&overall, || {
        let config = Config { interval: INTERVAL, ..Config::default() };
        Monitor::new(config, "1.2.3", exporter(), vec![critical.clone(), other.clone()])
    });
    let shown = || f64::from_bits(overall.0.load(Ordering::Relaxed));
    assert_eq!(shown().to_string(), "0", "nobody has looked");
    tokio::spawn(monitor.clone().run());
    monitor.fresh().await;
    assert_eq!(shown().to_string(), "2");
    for (check, look, expected) in [(&other, UNHEALTHY, "1"), (&critical, UNHEALTHY, "0"), (&critical, HEALTHY, "1")] {
        check.tell(look);
        let before = monitor.status();
        while monitor.status() == before {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(shown().to_string(), expected);
    }
}
