//! A process that is killed loses nothing, and repeats nothing that was answered.

use std::ops::Range;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use parlant_alerting::{Alerting, Config, Slack, State};
use parlant_settings::{ExposeSecret as _, Secret};
use rand::random_range;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::delivery::{Numbers, accepted, expected, full};
use crate::receiver::{Answer, Receiver};

const URL: &str = "ALERTING_TEST_URL";
const FOLDER: &str = "ALERTING_TEST_FOLDER";

/// The process that is killed: this program again. By itself it does nothing.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "so the other process says what it wants")]
async fn alerts_when_told_to() {
    let (Ok(url), Some(folder)) = (std::env::var(URL), std::env::var_os(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    let config = Config {
        slack: Some(Slack::new(Secret::from(url)).unwrap()),
        interval: Duration::from_millis(20),
        state_dir: Some(folder.clone()),
        ..Config::default()
    };
    let numbers = move || {
        let numbers = Numbers::default();
        numbers.wrong(std::fs::read_to_string(folder.join("wrong")).ok().and_then(|disk| disk.parse().ok()));
        numbers.look()
    };
    Alerting::new(vec![full("Killed")], config.notifiers(), config).run(numbers, std::future::pending()).await;
}

/// What outlives the processes.
struct Place {
    folder: TempDir,
    receiver: Receiver,
}

impl Place {
    async fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), receiver: Receiver::start(answers).await }
    }

    fn process(&self) -> Child {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command
            .args(["--exact", "kill::alerts_when_told_to", "--nocapture"])
            .env(URL, self.receiver.url().expose_secret())
            .env(FOLDER, self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command.spawn().unwrap()
    }

    fn wrong(&self, disk: Option<u32>) {
        let written = self.folder.path().join("wrong.new");
        std::fs::write(&written, disk.map(|disk| disk.to_string()).unwrap_or_default()).unwrap();
        std::fs::rename(written, self.folder.path().join("wrong")).unwrap();
    }

    fn state(&self) -> State {
        State::read(self.folder.path()).unwrap().unwrap_or_default()
    }

    fn waiting(&self) -> usize {
        self.state().queues.values().map(std::collections::VecDeque::len).sum()
    }

    /// Whether this disk alone is known to be full.
    fn knows(&self, disk: Option<u32>) -> bool {
        let state = self.state();
        let told = state.alerts.iter().filter(|(_, alert)| alert.told.is_some());
        let told: Vec<_> = told.map(|(key, _)| key.labels[0].1.clone()).collect();
        !state.alerts.is_empty() && told == disk.iter().map(u32::to_string).collect::<Vec<_>>()
    }

    /// Everything ends well with a process that nobody kills; how many messages came twice.
    async fn finish(&self, disks: Range<u32>) -> usize {
        let _process = self.process();
        until("it is known", || self.knows(Some(disks.end - 1))).await;
        self.wrong(None);
        until("all is over and told", || self.knows(None) && self.waiting() == 0).await;
        assert!(!std::fs::read_to_string(self.folder.path().join("alerts.json")).unwrap().contains("services"));
        let mut heard = accepted(&self.receiver);
        let all = heard.len();
        heard.dedup();
        assert_eq!(heard, expected(disks));
        all - heard.len()
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(1)).await;
    }
}

async fn kill(mut process: Child) {
    process.start_kill().unwrap();
    process.wait().await.unwrap();
}

#[tokio::test]
async fn before_anything_is_written() {
    let place = Place::new([]).await;
    let process = place.process();
    until("it runs", || place.folder.path().join("alerts.json").exists()).await;
    place.wrong(Some(1));
    kill(process).await;
    assert_eq!(place.finish(1..2).await, 0);
}

#[tokio::test]
async fn after_it_is_written_and_before_the_request() {
    let place = Place::new([]).await;
    place.wrong(Some(1));
    let process = place.process();
    until("it is written", || place.waiting() == 1).await;
    kill(process).await;
    assert!(place.receiver.count() == 0, "killed too late");
    assert_eq!(place.finish(1..2).await, 0);
}

#[tokio::test]
async fn between_the_request_and_the_answer() {
    let place = Place::new([Answer::Hang]).await;
    place.wrong(Some(1));
    let process = place.process();
    until("it is asked", || place.receiver.count() == 1).await;
    assert_eq!(place.waiting(), 1);
    kill(process).await;
    assert_eq!(place.finish(1..2).await, 0, "what was not answered was not accepted");
    assert_eq!(place.receiver.count(), 3, "but it was heard twice");
}

#[tokio::test]
async fn about_when_the_answer_arrives() {
    let place = Place::new([]).await;
    place.wrong(Some(1));
    let process = place.process();
    until("it is asked", || place.receiver.count() == 1).await;
    kill(process).await;
    assert!(place.finish(1..2).await <= 1);
}

#[tokio::test]
async fn after_the_answer_is_written() {
    let place = Place::new([]).await;
    place.wrong(Some(1));
    let process = place.process();
    until("it is told", || place.knows(Some(1)) && place.waiting() == 0).await;
    kill(process).await;
    assert_eq!(place.finish(1..2).await, 0);
}

const KILLS: usize = 10;

#[tokio::test]
async fn at_any_moments() {
    let place = Place::new([]).await;
    place.wrong(Some(1));
    let life = async {
        for _ in 0..KILLS {
            let process = place.process();
            sleep(Duration::from_millis(random_range(30..2500))).await;
            kill(process).await;
        }
        place.process()
    };
    let changes = async {
        for disk in 1..5 {
            place.wrong(Some(disk));
            until("it is known", || place.knows(Some(disk))).await;
        }
    };
    let (process, ()) = tokio::join!(life, changes);
    kill(process).await;
    assert!(place.finish(1..5).await <= KILLS + 1);
}
