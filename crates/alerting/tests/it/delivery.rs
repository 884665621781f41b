//! What is to be told arrives: once, in order, not too fast, whatever happens on the way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlant_alerting::{Alerting, Alone, Claims, Config, Heartbeat, Notifier, Rule, SendError, Slack, Source, Webhook};
use parlant_metrics::{Exporter, Snapshot};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::log;
use crate::machine::rule;
use crate::receiver::{Answer, Heard, OK, Receiver, SECRET, until};

/// The numbers of a process, and how often somebody looked at them.
#[derive(Clone, Default)]
pub(crate) struct Numbers(Arc<Mutex<String>>, Arc<AtomicU64>);

impl Numbers {
    /// Something is wrong with these disks alone.
    pub(crate) fn wrong(&self, disks: impl IntoIterator<Item = u32>) {
        let series = disks.into_iter().map(|disk| format!("number{{disk=\"{disk}\"}} 1\n"));
        *self.0.lock().unwrap() = "number{disk=\"fine\"} 0\n".to_owned() + &series.collect::<String>();
    }

    pub(crate) fn look(&self) -> Vec<(Source, Snapshot)> {
        self.1.fetch_add(1, Ordering::Relaxed);
        vec![(Source::Server, Snapshot::parse(&self.0.lock().unwrap()))]
    }

    /// Waits until somebody has looked.
    pub(crate) async fn are_seen(&self) {
        let looks = self.1.load(Ordering::Relaxed);
        until("a round", || self.1.load(Ordering::Relaxed) > looks).await;
    }
}

/// An alerting that runs, until it is told to stop.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(rule: Rule, numbers: &Numbers, notifiers: Vec<Arc<dyn Notifier>>, config: Config) -> Self {
        Self::with_claims(rule, numbers, notifiers, config, Alone)
    }

    pub(crate) fn with_claims(
        rule: Rule,
        numbers: &Numbers,
        notifiers: Vec<Arc<dyn Notifier>>,
        config: Config,
        claims: impl Claims,
    ) -> Self {
        log::listen();
        exporter();
        let alerting = Alerting::new(vec![rule], notifiers, config).with_claims(claims);
        let (stop, stopped) = oneshot::channel();
        let numbers = numbers.clone();
        let task = tokio::spawn(alerting.run(move || numbers.look(), async { drop(stopped.await) }));
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

pub(crate) fn exporter() -> Exporter {
    static EXPORTER: Mutex<Option<Exporter>> = Mutex::new(None);
    EXPORTER.lock().unwrap().get_or_insert_with(|| parlant_metrics::install().unwrap()).clone()
}

pub(crate) fn counted(notifier: &str, outcome: &str) -> Option<f64> {
    let labels = [("notifier", notifier), ("outcome", outcome)];
    exporter().snapshot().sum(parlant_alerting::NOTIFICATIONS, &labels)
}

/// A rule with one title for each disk.
pub(crate) fn full(name: &'static str) -> Rule {
    Rule { summary: "Full", description: "{disk}", ..rule(name, Duration::ZERO) }
}

/// Lets `disks` fail and recover, one after the other.
pub(crate) async fn fail_and_recover(numbers: &Numbers, disks: std::ops::Range<u32>) {
    for disk in disks {
        numbers.wrong([disk]);
        numbers.are_seen().await;
    }
    numbers.wrong([]);
    numbers.are_seen().await;
}

/// What is said of these disks, in order.
pub(crate) fn expected(disks: std::ops::Range<u32>) -> Vec<(String, String)> {
    let mut expected = Vec::new();
    for disk in disks.clone() {
        // The next begins in the round in which the last ends, and alerts are in the order of their labels.
        let beginning = ("Full".to_owned(), disk.to_string());
        match disk.checked_sub(1).filter(|last| disks.contains(last)) {
            None => expected.push(beginning),
            Some(last) => expected.extend([("Resolved: Full".to_owned(), last.to_string()), beginning]),
        }
    }
    expected.push(("Resolved: Full".to_owned(), (disks.end - 1).to_string()));
    expected
}

/// What the receiver took, in order: title and text.
pub(crate) fn accepted(receiver: &Receiver) -> Vec<(String, String)> {
    let accepted = receiver.heard().into_iter().filter(|heard| heard.accepted);
    let part = |heard: &Heard, name: &str| heard.body["attachments"][0][name].as_str().unwrap().to_owned();
    accepted.map(|heard| (part(&heard, "title"), part(&heard, "text"))).collect()
}

fn gaps(receiver: &Receiver) -> Vec<Duration> {
    receiver.heard().windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

const TOO_MANY: Answer = Answer::Head("429 Too Many Requests");
const OOPS: Answer = Answer::Head("500 Internal Server Error");

#[tokio::test(start_paused = true)]
async fn every_beginning_and_end_arrives_once_and_in_order_however_the_receiver_fails() {
    let asked = Answer::Head("429 Too Many Requests\r\nretry-after: 90");
    let unheard = [Answer::Cut(""), Answer::Cut("HTTP/1.1 2"), Answer::Hang];
    // Each message meets every failure, and some fail many times.
    let failures = [TOO_MANY, asked, OOPS, Answer::Head("503 Unavailable")].into_iter().chain(unheard);
    let mut script: Vec<_> = failures.flat_map(|failure| [failure.clone(), OK, failure.clone(), failure, OK]).collect();
    script.extend(vec![OOPS; 12]);
    let receiver = Receiver::start(script).await;
    let notifier = receiver.notifier("failing", Slack::new(receiver.url()).unwrap());
    let numbers = Numbers::default();
    let running = Running::start(full("Failing"), &numbers, vec![notifier], Config::default());
    fail_and_recover(&numbers, 1..9).await;
    until("everything arrives", || receiver.count() >= 16 && accepted(&receiver).len() >= 16).await;
    running.stop().await;
    assert_eq!(accepted(&receiver), expected(1..9));
    let gaps = gaps(&receiver);
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_secs(1)), "{gaps:?}");
    // What was asked for is granted, and nobody waits for longer than the limit otherwise.
    assert_eq!(
        gaps.iter().filter(|gap| **gap >= Duration::from_secs(90) && **gap < Duration::from_secs(91)).count(),
        3
    );
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(301 + 30)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap > Duration::from_mins(2)), "{gaps:?}");
    assert_eq!((counted("failing", "sent"), counted("failing", "failed")), (Some(16.0), Some(33.0)));
    assert_eq!((counted("failing", "refused"), counted("failing", "dropped")), (Some(0.0), Some(0.0)));
    // Once for each time that it began to fail.
    assert_eq!(log::about("is sent again later").iter().filter(|line| line["notifier"] == "failing").count(), 15);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_reported_once_and_does_not_stand_in_the_way() {
    let refusals = ["400 Bad Request", "403 Forbidden", "404 Not Found", "410 Gone", "302 Found\r\nlocation: /"];
    let answers = refusals.iter().map(|head| Answer::Head(head));
    let receiver = Receiver::start(answers).await;
    let notifier = receiver.notifier("refusing", Slack::new(receiver.url()).unwrap());
    let numbers = Numbers::default();
    let running = Running::start(full("Refused"), &numbers, vec![notifier], Config::default());
    fail_and_recover(&numbers, 1..5).await;
    until("all were sent", || receiver.count() >= 8).await;
    running.stop().await;
    assert_eq!(accepted(&receiver), expected(1..5)[5..]);
    assert_eq!((counted("refusing", "sent"), counted("refusing", "refused")), (Some(3.0), Some(5.0)));
    assert_eq!(counted("refusing", "failed"), Some(0.0));
    let lines = log::about("is given up");
    let words: Vec<_> = lines.iter().filter(|line| line["notifier"] == "refusing").map(|line| &line["error"]).collect();
    let expected = refusals.map(|head| format!("the message is refused: status {}", &head[..3]));
    assert_eq!(words, expected.iter().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_receiver_loses_nothing() {
    let mut receiver = Receiver::start([]).await;
    let notifier = receiver.notifier("away", Slack::new(receiver.url()).unwrap());
    let numbers = Numbers::default();
    let running = Running::start(full("Away"), &numbers, vec![notifier], Config::default());
    receiver.leave();
    fail_and_recover(&numbers, 1..9).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(receiver.count() == 0);
    receiver.come_back().await;
    let back = Instant::now();
    until("everything arrives", || receiver.count() >= 16).await;
    assert!(back.elapsed() < Duration::from_mins(6), "{:?}", back.elapsed());
    running.stop().await;
    assert_eq!(accepted(&receiver), expected(1..9));
    assert!(gaps(&receiver).iter().all(|gap| *gap >= Duration::from_secs(1)));
    let tries = counted("away", "failed").unwrap();
    assert!((12.0..40.0).contains(&tries), "{tries} tries in an hour");
}

#[tokio::test(start_paused = true)]
async fn notifiers_do_not_wait_for_each_other() {
    let (slow, quick) = (Receiver::start(vec![Answer::Hang; 500]).await, Receiver::start([]).await);
    let notifiers = vec![
        slow.notifier("slow", Slack::new(slow.url()).unwrap()),
        quick.notifier("quick", Webhook::new(quick.url()).unwrap()),
    ];
    let numbers = Numbers::default();
    let running = Running::start(full("Independent"), &numbers, notifiers, Config::default());
    fail_and_recover(&numbers, 1..4).await;
    until("the quick one has all", || quick.count() == 6).await;
    assert!(slow.accepted().is_empty());
    let told: Vec<_> = quick.heard().iter().map(|heard| heard.body["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["firing", "resolved", "firing", "resolved", "firing", "resolved"]);
    let waiting = exporter().snapshot().sum(parlant_alerting::WAITING, &[("notifier", "slow")]);
    assert_eq!(waiting, Some(6.0));
    // It does not answer: nobody waits for it at the end.
    let stopped = Instant::now();
    running.stop().await;
    assert!(stopped.elapsed() <= Duration::from_secs(11), "{:?}", stopped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_waits_at_the_end_is_sent_within_the_time_for_it() {
    let receiver = Receiver::start([]).await;
    let notifier = receiver.notifier("draining", Slack::new(receiver.url()).unwrap());
    let numbers = Numbers::default();
    let running = Running::start(full("Draining"), &numbers, vec![notifier], Config::default());
    numbers.wrong(10..90);
    until("the first is sent", || receiver.count() > 0).await;
    let (before, stopped) = (receiver.count(), Instant::now());
    running.stop().await;
    let sent = receiver.count() - before;
    assert!((9..=11).contains(&sent), "{sent} in ten seconds");
    assert_eq!(stopped.elapsed().as_secs(), 10);
    let lost = log::about("Messages about alerts are lost");
    assert_eq!(lost.iter().find(|line| line["notifier"] == "draining").unwrap()["waiting"], 80 - before - sent);
}

#[tokio::test(start_paused = true)]
async fn the_heart_beats_each_round_and_is_missed_once() {
    let mut receiver = Receiver::start([OOPS, Answer::Head("404 Not Found"), OK]).await;
    receiver.leave();
    let config = Config { heartbeat: Some(Heartbeat::new(receiver.url()).unwrap()), ..Config::default() };
    assert!(!format!("{config:?}").contains(SECRET));
    let beats = |outcome| exporter().snapshot().sum(parlant_alerting::HEARTBEATS, &[("outcome", outcome)]);
    let running = Running::start(full("Beating"), &Numbers::default(), Vec::new(), config);
    until("nobody hears it", || beats("failed") == Some(2.0)).await;
    receiver.come_back().await;
    until("it is heard", || receiver.count() >= 5).await;
    running.stop().await;
    assert!(gaps(&receiver).iter().all(|gap| gap.as_secs() == 30 || gap.as_secs() == 29), "{:?}", gaps(&receiver));
    assert_eq!(log::about("The heartbeat is not heard").len(), 1);
    assert_eq!((beats("sent"), beats("failed")), (Some(3.0), Some(4.0)));
    assert!(!log::all().contains(SECRET));
}

/// A notifier of somebody else's, that fails as often as it is told.
struct Own(AtomicU64);

impl Notifier for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn send<'a>(&'a self, _: &'a parlant_alerting::Notification) -> parlant_alerting::Sending<'a> {
        let fails = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        let later = SendError::Later { reason: "the pager is busy".to_owned(), after: None };
        Box::pin(async move { if fails { Err(later) } else { Ok(()) } })
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_without_an_outbox_sends_within_a_time_limit() {
    let try_it = |fails| async move {
        let (own, message) = (Own(AtomicU64::new(fails)), crate::slack::of(parlant_alerting::Severity::Warning));
        let started = Instant::now();
        let sent = parlant_alerting::send_within(Duration::from_mins(1), &own, &message).await;
        (sent.is_ok(), started.elapsed())
    };
    assert_eq!(try_it(0).await, (true, Duration::ZERO));
    let (sent, took) = try_it(4).await;
    assert!(sent && (15..=30).contains(&took.as_secs()), "{took:?}");
    let (sent, took) = try_it(100).await;
    assert!(!sent && took <= Duration::from_mins(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_line_shows_an_address() {
    let receiver = Receiver::start([OOPS, Answer::Hang, Answer::Head("403 Forbidden")]).await;
    let nobody = parlant_settings::Secret::from(format!("http://127.0.0.1:1/services/{SECRET}"));
    let notifiers = vec![
        receiver.notifier("shy", Slack::new(receiver.url()).unwrap()),
        receiver.notifier("lonely", Webhook::new(nobody).unwrap()),
    ];
    let numbers = Numbers::default();
    let running = Running::start(full("Secret"), &numbers, notifiers, Config::default());
    numbers.wrong([1]);
    until("all of it happened", || receiver.count() == 3 && counted("lonely", "failed") > Some(0.0)).await;
    running.stop().await;
    assert!(log::about("is given up").iter().any(|line| line["notifier"] == "shy"));
    assert!(!log::all().contains(SECRET));
}
