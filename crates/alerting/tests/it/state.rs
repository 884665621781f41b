//! The directory in which the state is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use parlant_alerting::{Claims, Config, Holding, Key, Slack, State};
use tempfile::tempdir;
use tokio::time::sleep;

use crate::delivery::{Numbers, Running, accepted, counted, expected, fail_and_recover, full};
use crate::receiver::{Receiver, until};
use crate::{log, receiver};

fn config(dir: &Path) -> Config {
    Config { state_dir: Some(dir.to_owned()), ..Config::default() }
}

fn file(dir: &Path) -> String {
    fs::read_to_string(dir.join("alerts.json")).unwrap()
}

fn file_has(dir: &Path, what: &str) -> bool {
    dir.join("alerts.json").exists() && file(dir).contains(what)
}

fn said(what: &str, dir: &Path) -> usize {
    log::about(what).iter().filter(|line| line.to_string().contains(&dir.display().to_string())).count()
}

#[tokio::test(start_paused = true)]
async fn what_one_process_could_not_send_the_next_one_does() {
    let place = tempdir().unwrap();
    // It is made when it is not there.
    let dir = place.path().join("some/where");
    let mut receiver = Receiver::start([]).await;
    receiver.leave();
    let notifier = || receiver.notifier("handed_on", Slack::new(receiver.url()).unwrap());
    let numbers = Numbers::default();
    let running = Running::start(full("HandedOn"), &numbers, vec![notifier()], config(&dir));
    fail_and_recover(&numbers, 1..4).await;
    running.stop().await;
    let state = State::read(&dir).unwrap().unwrap();
    assert_eq!(state.queues["handed_on"].len(), 6);
    assert!(!file(&dir).contains(receiver::SECRET));
    let mode = |name| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("alerts.json"), mode(".")), (0o600, 0o700));
    assert_eq!(log::about("sent after the next start").len(), 1);
    let handed_on = vec![notifier()];
    receiver.come_back().await;
    let running = Running::start(full("HandedOn"), &numbers, handed_on, config(&dir));
    until("all of it is there", || receiver.count() >= 6).await;
    running.stop().await;
    assert_eq!(accepted(&receiver), expected(1..4));
    assert!(State::read(&dir).unwrap().unwrap().queues["handed_on"].is_empty());
}

/// Nobody answers.
struct Silence;

impl Claims for Silence {
    fn hold<'a>(&'a mut self, _: &'a [Key]) -> Holding<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn what_people_know_stays_in_the_file_while_a_process_begins() {
    let dir = tempdir().unwrap();
    let mut receiver = Receiver::start([]).await;
    receiver.leave();
    let notifier = || vec![receiver.notifier("beginning", Slack::new(receiver.url()).unwrap())];
    let numbers = Numbers::default();
    numbers.wrong([1]);
    let running = Running::start(full("Begun"), &numbers, notifier(), config(dir.path()));
    until("it waits", || file_has(dir.path(), "Begun")).await;
    running.stop().await;
    let next = notifier();
    receiver.come_back().await;
    // It sends what waits before its first round has ended, and may be killed then.
    let running = Running::with_claims(full("Begun"), &numbers, next, config(dir.path()), Silence);
    until("it is sent", || State::read(dir.path()).is_ok_and(|state| state.unwrap().queues["beginning"].is_empty()))
        .await;
    assert!(State::read(dir.path()).unwrap().unwrap().alerts[0].1.told.is_some());
    running.stop().await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_used_is_set_aside() {
    let receiver = Receiver::start([]).await;
    for (index, bad) in
        ["", "{\"version\": 1, \"at\": ", "[]", r#"{"version": 2, "news": []}"#, "\u{0}"].iter().enumerate()
    {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join("alerts.json"), bad).unwrap();
        assert!(State::read(dir.path()).is_err());
        let notifier = receiver.notifier("setting_aside", Slack::new(receiver.url()).unwrap());
        let numbers = Numbers::default();
        numbers.wrong([1]);
        let running = Running::start(full("SetAside"), &numbers, vec![notifier], config(dir.path()));
        until("it is told all the same", || receiver.count() > index).await;
        running.stop().await;
        assert_eq!(fs::read_to_string(dir.path().join("alerts.json.unreadable")).unwrap(), *bad);
        assert_eq!(State::read(dir.path()).unwrap().unwrap().alerts.len(), 1);
        assert_eq!(said("cannot be used and is now alerts.json.unreadable", dir.path()), 1, "{bad}");
    }
    assert_eq!(log::about("it is of version 2, not 1").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_waits_for_the_one_that_has_the_directory_and_takes_over_what_it_knows() {
    let dir = tempdir().unwrap();
    let receiver = Receiver::start([]).await;
    let notifier = || vec![receiver.notifier("taking_over", Slack::new(receiver.url()).unwrap())];
    let numbers = Numbers::default();
    numbers.wrong([1]);
    let old = Running::start(full("TakenOver"), &numbers, notifier(), config(dir.path()));
    until("it is told", || receiver.count() == 1).await;
    let new = Running::start(full("TakenOver"), &numbers, notifier(), config(dir.path()));
    sleep(Duration::from_secs(100)).await;
    old.stop().await;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(receiver.count(), 1, "the new one knows that people know");
    numbers.wrong([]);
    until("it is over", || receiver.count() == 2).await;
    new.stop().await;
    assert_eq!(accepted(&receiver), expected(1..2));
}

#[tokio::test(start_paused = true)]
async fn two_processes_with_one_directory_both_tell() {
    let dir = tempdir().unwrap();
    let (first, second) = (Receiver::start([]).await, Receiver::start([]).await);
    let numbers = Numbers::default();
    numbers.wrong([1]);
    let notifier = |receiver: &Receiver| vec![receiver.notifier("sharing", Slack::new(receiver.url()).unwrap())];
    let one = Running::start(full("Shared"), &numbers, notifier(&first), config(dir.path()));
    until("the first tells", || first.count() == 1).await;
    let other = Running::start(full("Shared"), &numbers, notifier(&second), config(dir.path()));
    until("the second tells", || second.count() == 1).await;
    assert_eq!(said("Another process has", dir.path()), 1);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_be_written_stops_nobody_and_is_said_once_and_again_when_it_can() {
    let place = tempdir().unwrap();
    let dir = place.path().join("state");
    // A file is where the directory should be.
    fs::write(&dir, "").unwrap();
    let receiver = Receiver::start([]).await;
    let notifier = receiver.notifier("unwritten", Slack::new(receiver.url()).unwrap());
    let numbers = Numbers::default();
    let running = Running::start(full("Unwritten"), &numbers, vec![notifier], config(&dir));
    fail_and_recover(&numbers, 1..4).await;
    until("it is told", || receiver.count() == 6).await;
    assert_eq!(said("cannot be used", &dir), 1);
    fs::remove_file(&dir).unwrap();
    until("it is written", || State::read(&dir).is_ok_and(|state| state.is_some())).await;
    // Nobody can write where a directory is: not even root.
    fs::create_dir(dir.join("alerts.json.new")).unwrap();
    numbers.wrong([4]);
    until("it is told", || receiver.count() == 7).await;
    assert_eq!(log::about("The state of alerts cannot be written").len(), 1);
    fs::remove_dir(dir.join("alerts.json.new")).unwrap();
    until("it is written again", || log::about("can be written again").len() == 1).await;
    assert!(file(&dir).contains(r#""disk","4""#), "{}", file(&dir));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn too_much_that_waits_costs_reminders_and_what_is_over_but_never_half_of_a_pair() {
    let mut receiver = Receiver::start([]).await;
    receiver.leave();
    let notifier = receiver.notifier("crowded", Slack::new(receiver.url()).unwrap());
    let numbers = Numbers::default();
    let running = Running::start(full("Crowded"), &numbers, vec![notifier], Config::default());
    // 800 begin and end, and 300 begin.
    numbers.wrong(1000..1400);
    numbers.are_seen().await;
    numbers.wrong(1400..1800);
    numbers.are_seen().await;
    numbers.wrong(1800..2100);
    numbers.are_seen().await;
    until("too much waits", || counted("crowded", "dropped") > Some(0.0)).await;
    assert_eq!(counted("crowded", "dropped"), Some(900.0));
    receiver.come_back().await;
    until("the rest is sent", || receiver.count() == 1000).await;
    running.stop().await;
    let told = accepted(&receiver);
    let disks =
        |title: &str| -> Vec<_> { told.iter().filter(|told| told.0 == title).map(|told| told.1.clone()).collect() };
    let (begun, over) = (disks("Full"), disks("Resolved: Full"));
    assert!(over.iter().all(|disk| begun.contains(disk)), "what ends has begun");
    assert_eq!((begun.len(), over.len()), (650, 350));
    // The oldest is under way, and stays.
    assert_eq!((&begun[0], begun.last().unwrap()), (&"1000".to_owned(), &"2099".to_owned()));
    assert!((1800..2100).all(|disk| begun.contains(&disk.to_string())));
}
