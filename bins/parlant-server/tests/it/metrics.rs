//! What Prometheus sees of the real server, and the page that tells of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use parlant_engine::echo::Echo;
use parlant_metrics::Snapshot;
use parlant_test_support::{ChaosProxy, database};
use reqwest::{Client, StatusCode};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::program::{PATIENCE, Running};
use crate::serve::{client, serve};

/// What follows this heading is not the server's.
const OTHERS: &str = "## From other programs";

async fn scrape(client: &Client, address: &str) -> String {
    let answer = client.get(format!("{address}/metrics")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.text().await.unwrap()
}

/// A scrape of which something holds.
pub(crate) async fn scrape_until(address: &str, what: &str, holds: impl Fn(&Snapshot) -> bool) -> String {
    let client = client();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = scrape(&client, address).await;
        if holds(&Snapshot::parse(&text)) {
            return text;
        }
        assert!(Instant::now() < deadline, "never: {what}\n{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Type and labels of each family.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn families(page: &str) -> Families {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        let labels = cells[2].split(", ").filter(|label| *label != "–").map(str::to_owned);
        (cells[0].trim_end_matches('`').to_owned(), (cells[1].to_owned(), labels.collect()))
    })
    .collect()
}

fn exported(text: &str) -> Families {
    let snapshot = Snapshot::parse(text);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .map(|(name, kind)| {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} does not say what it is");
            let names = ["", "_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}"));
            let samples = names.iter().flat_map(|name| snapshot.samples(name));
            let labels = samples.flat_map(|sample| sample.labels.iter().map(|(label, _)| label.clone()));
            (name.to_owned(), (kind.to_owned(), labels.filter(|label| label != "le").collect()))
        })
        .collect()
}

#[tokio::test]
async fn the_page_lists_what_a_scrape_shows() {
    let page = include_str!("../../../../docs/reference/metrics.md");
    let ours = page.split(OTHERS).next().unwrap();
    let database = database().await;
    let echo = Echo::start().unwrap();
    // Nobody listens there.
    let (webhook, engine) = ("http://127.0.0.1:9/", echo.config().base_url);
    let environment =
        [("PARLANT_BASE_URL", engine.as_str()), ("SLACK_WEBHOOK_URL", webhook), ("HEARTBEAT_URL", webhook)];
    let (mut server, _directory) = serve(&database.url(), &environment);
    let address = server.address().await;
    let counted = |page: &Snapshot| {
        let sampled = ["parlant_agents", "parlant_engine_outbox_pending"];
        sampled.iter().all(|name| page.sum(name, &[]).is_some())
    };
    let text = scrape_until(&address, "sessions and agents are counted", counted).await;
    let (shown, told) = (exported(&text), families(ours));
    let missing: Vec<_> = shown.iter().filter(|(name, family)| told.get(*name) != Some(*family)).collect();
    let gone: Vec<_> = told.iter().filter(|(name, family)| shown.get(*name) != Some(*family)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "docs/reference/metrics.md lacks {missing:?} and has {gone:?}");
    // The numbers are true as well.
    let page = Snapshot::parse(&text);
    assert_eq!(page.sum("parlant_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
    assert_eq!(page.sum("parlant_active_sessions", &[]), Some(0.0));
    assert_eq!(page.sum("parlant_http_requests_in_flight", &[]), Some(1.0), "the scrape");
    assert!(page.sum("process_resident_memory_bytes", &[]) > Some(1e6));
    assert!(page.sum("process_threads", &[]) > Some(3.0));
    let age = chrono::Utc::now().timestamp() as f64 - page.sum("process_start_time_seconds", &[]).unwrap();
    assert!((-2.0..120.0).contains(&age), "{age} s old");
}

#[tokio::test]
async fn a_scrape_does_not_wait_for_a_database_that_is_down_or_hangs() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let (mut server, _directory) = serve(&database.url_through(proxy.address()), &[]);
    let address = server.address().await;
    let counted = |page: &Snapshot| page.sum("parlant_agents", &[]).is_some();
    scrape_until(&address, "sessions and agents are counted", counted).await;
    // To make a client takes longer than its request.
    let client = client();
    for hangs in [true, false] {
        if hangs {
            proxy.hang();
        } else {
            proxy.refuse().await;
            proxy.cut();
        }
        for _ in 0..20 {
            let asked = Instant::now();
            let page = Snapshot::parse(&scrape(&client, &address).await);
            let took = asked.elapsed();
            assert!(took < Duration::from_millis(500), "{took:?} hangs={hangs}");
            assert_eq!(page.sum("parlant_agents", &[]), Some(0.0), "the last number stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Where its own listener is.
async fn own_listener(server: &mut Running) -> String {
    let address = |log: &str| {
        let line = log.lines().find(|line| line.contains(r#""message":"Serving metrics""#))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(format!("http://{}", line["address"].as_str()?))
    };
    server.wait_for(address).await
}

/// Begins to post an agent and never says which.
async fn unfinished(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /api/v1/auth/validate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_hang_up_is_counted_and_a_drain_is_watched_from_the_own_listener() {
    let database = database().await;
    let more = [("METRICS_ADDR", "127.0.0.1:0"), ("SHUTDOWN_GRACE", "20s")];
    let (mut server, _directory) = serve(&database.url(), &more);
    let address = server.address().await;
    let own = own_listener(&mut server).await;
    assert_ne!(own, address);
    let in_flight = |count: f64| move |page: &Snapshot| page.sum("parlant_http_requests_in_flight", &[]) == Some(count);
    let validated = |status: &'static str| {
        move |page: &Snapshot| {
            let labels = [("method", "POST"), ("endpoint", "/api/v1/auth/validate"), ("status", status)];
            page.sum("parlant_http_requests_total", &labels) == Some(1.0)
        }
    };
    let gone = unfinished(&address).await;
    scrape_until(&address, "a request and the scrape", in_flight(2.0)).await;
    drop(gone);
    scrape_until(&own, "counted as gone", validated("499")).await;
    scrape_until(&own, "the scrape alone", in_flight(1.0)).await;

    let mut late = unfinished(&address).await;
    scrape_until(&own, "a request and the scrape", in_flight(2.0)).await;
    server.signal(Signal::TERM);
    server.wait_for(|log| log.contains(r#""message":"Stopping""#).then_some(())).await;
    scrape_until(&own, "still there while draining", in_flight(2.0)).await;
    late.write_all(br#""token""#).await.unwrap();
    drop(late);
    assert_eq!(server.ended().await, Some(0));
}

#[tokio::test]
async fn a_token_guards_both_listeners_and_off_is_off() {
    let database = database().await;
    let more = [("METRICS_ADDR", "127.0.0.1:0"), ("METRICS_TOKEN", "open sesame")];
    let (mut server, _directory) = serve(&database.url(), &more);
    for address in [server.address().await, own_listener(&mut server).await] {
        let ask = || client().get(format!("{address}/metrics"));
        assert_eq!(ask().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let admitted = ask().bearer_auth("open sesame").send().await.unwrap();
        assert_eq!(admitted.status(), StatusCode::OK);
    }
    assert!(!server.log().contains("sesame"));

    let more = [("METRICS_ADDR", "127.0.0.1:0"), ("METRICS_ENABLED", "false")];
    let (mut server, _directory) = serve(&database.url(), &more);
    let address = server.address().await;
    let answer = client().get(format!("{address}/metrics")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(!server.log().contains("Serving metrics"));
}
