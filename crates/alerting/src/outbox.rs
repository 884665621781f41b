//! What waits to be sent, safe from the end of the process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::metrics::Notifications;
use crate::state::{Directory, State};
use crate::{Machine, Notification, Status};

/// Messages that wait for one notifier. Beyond it, reminders go first, and then beginnings together with their ends,
/// the oldest first: what is left is about as many alerts as can be known, at most two messages for each.
const BOUND: usize = 1000;
/// How long a process that ends may keep the directory from the one that begins.
const HANDOVER: Duration = Duration::from_mins(2);

/// One queue for each notifier, and the file that has them.
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    metrics: BTreeMap<&'static str, Notifications>,
    changed: watch::Sender<()>,
}

struct Inner {
    state: State,
    place: Place,
    /// What the file has.
    written: Option<State>,
    /// That the file is behind was said.
    complained: bool,
}

/// Where the state is besides in memory.
enum Place {
    Nowhere,
    /// Not yet in this directory.
    Closed(PathBuf, Instant),
    Open(Arc<Directory>),
}

/// Whether there is anything that must be known before people are told.
pub(crate) enum Standing {
    /// No.
    Ready,
    /// Yes, this.
    Earlier(State),
    /// Yes: what another process knows that has not ended yet.
    Wait,
}

impl Outbox {
    pub(crate) fn new(notifiers: impl Iterator<Item = &'static str>, directory: Option<PathBuf>) -> Self {
        let metrics: BTreeMap<_, _> = notifiers.map(|name| (name, Notifications::register(name))).collect();
        let queues = metrics.keys().map(|name| ((*name).to_owned(), VecDeque::new())).collect();
        let place = directory.map_or(Place::Nowhere, |path| Place::Closed(path, Instant::now()));
        let state = State { queues, ..State::default() };
        let inner = Mutex::new(Inner { state, place, written: None, complained: false });
        Self { inner, metrics, changed: watch::Sender::new(()) }
    }

    pub(crate) fn metrics(&self, notifier: &str) -> Option<&Notifications> {
        self.metrics.get(notifier)
    }

    /// Takes the directory and what is in it, if that is not done.
    pub(crate) async fn open(&self) -> Standing {
        let mut inner = self.inner.lock().await;
        let Place::Closed(path, since) = &inner.place else { return Standing::Ready };
        let (path, waited) = (path.clone(), since.elapsed());
        let shown = path.display().to_string();
        let opened = blocking(move || {
            let Some(directory) = Directory::open(&path)? else { return Ok(None) };
            let state = directory.read()?;
            Ok(Some((directory, state)))
        });
        match opened.await {
            Ok(Some((directory, state))) => {
                tracing::info!("The state of alerts is kept in {shown}");
                inner.place = Place::Open(Arc::new(directory));
                inner.complained = false;
                let Some(state) = state else { return Standing::Ready };
                inner.inherit(&state);
                self.changed.send_replace(());
                Standing::Earlier(state)
            }
            Ok(None) if waited < HANDOVER => Standing::Wait,
            Ok(None) => {
                inner.complain(&format!("Another process has {shown}: each needs a directory of its own"));
                Standing::Ready
            }
            Err(error) => {
                inner.complain(&format!("{shown} cannot be used: {error}"));
                Standing::Ready
            }
        }
    }

    /// Ends a round: remembers what is known now, and what is to be sent.
    pub(crate) async fn commit(&self, machine: &Machine, news: &[Notification]) {
        self.change(|state| {
            state.unknown.clone_from(machine.unknown());
            state.alerts = machine.alerts().map(|(key, alert)| (key.clone(), alert.clone())).collect();
            for (name, metrics) in &self.metrics {
                let queue = state.queues.entry((*name).to_owned()).or_default();
                let dropped: u64 = news.iter().map(|news| push(queue, news)).sum();
                metrics.dropped.increment(dropped);
                if dropped > 0 {
                    tracing::error!(
                        notifier = name,
                        "More than {BOUND} messages wait: {dropped} are not sent, reminders and such about alerts that are over"
                    );
                }
            }
        })
        .await;
    }

    /// What is to be sent next.
    pub(crate) async fn first(&self, notifier: &str) -> Option<Notification> {
        self.inner.lock().await.state.queues.get(notifier)?.front().cloned()
    }

    /// Waits until there may be another.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// It was sent, or never will be.
    pub(crate) async fn remove(&self, notifier: &str, done: &Notification) {
        self.change(|state| {
            if let Some(queue) = state.queues.get_mut(notifier) {
                queue.retain(|waiting| waiting != done);
            }
        })
        .await;
    }

    /// Ends: says what was not sent.
    pub(crate) fn close(self) {
        let Inner { state, place, .. } = self.inner.into_inner();
        let kept = matches!(place, Place::Open(_));
        for (notifier, queue) in state.queues.iter().filter(|(_, queue)| !queue.is_empty()) {
            let waiting = queue.len();
            if kept {
                tracing::info!(notifier, waiting, "Messages about alerts are sent after the next start");
            } else {
                tracing::error!(
                    notifier,
                    waiting,
                    "Messages about alerts are lost: they could not be sent before the end"
                );
            }
        }
    }

    /// Changes the state, and returns when the file has it or cannot have it.
    async fn change(&self, change: impl FnOnce(&mut State)) {
        let mut inner = self.inner.lock().await;
        change(&mut inner.state);
        inner.save().await;
        for (name, metrics) in &self.metrics {
            metrics.waiting.set(inner.state.queues.get(*name).map_or(0, VecDeque::len) as f64);
        }
        self.changed.send_replace(());
    }
}

impl Inner {
    async fn save(&mut self) {
        let Place::Open(directory) = &self.place else { return };
        if let Some(written) = &self.written {
            self.state.at = written.at;
        }
        if self.written.as_ref() == Some(&self.state) {
            return;
        }
        self.state.at = Utc::now();
        let (directory, state) = (Arc::clone(directory), self.state.clone());
        match blocking(move || directory.write(&state).map(|()| state)).await {
            Ok(state) => {
                if mem::take(&mut self.complained) {
                    tracing::info!("The state of alerts can be written again");
                }
                self.written = Some(state);
            }
            Err(error) => {
                self.written = None;
                self.complain(&format!("The state of alerts cannot be written: {error}"));
            }
        }
    }

    fn complain(&mut self, what: &str) {
        if !mem::replace(&mut self.complained, true) {
            tracing::error!("{what}. It is in memory only, until this is mended: a restart repeats or loses messages.");
        }
    }

    /// What an earlier process could not send comes first; what it knew stays in the file until the round has ended.
    fn inherit(&mut self, earlier: &State) {
        for (name, waiting) in &earlier.queues {
            match self.state.queues.get_mut(name) {
                Some(queue) => *queue = waiting.iter().cloned().chain(mem::take(queue)).collect(),
                None if waiting.is_empty() => {}
                None => tracing::warn!("{} messages waited for {name}, which is not configured now", waiting.len()),
            }
        }
        let known: BTreeSet<_> = self.state.alerts.iter().map(|(key, _)| key.clone()).collect();
        let others = earlier.alerts.iter().filter(|(key, _)| !known.contains(key));
        self.state.alerts.extend(others.cloned());
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// Puts `news` at the end, unless what waits says the same. The number of messages that had to go.
fn push(queue: &mut VecDeque<Notification>, news: &Notification) -> u64 {
    let last = queue.iter().rev().find(|waiting| waiting.key == news.key).map(|waiting| waiting.status);
    let said = match news.status {
        Status::StillFiring => last.is_some(),
        Status::Firing => matches!(last, Some(Status::Firing | Status::StillFiring)),
        Status::Resolved | Status::Test => false,
    };
    if said {
        return 0;
    }
    queue.push_back(news.clone());
    let before = queue.len();
    while queue.len() > BOUND && make_room(queue) {}
    (before - queue.len()) as u64
}

/// Whether there was anything that may go. The first may be under way.
fn make_room(queue: &mut VecDeque<Notification>) -> bool {
    let reminder = (1..queue.len()).find(|index| queue[*index].status == Status::StillFiring);
    if let Some(reminder) = reminder {
        queue.remove(reminder);
        return true;
    }
    let end = |beginning: usize| {
        let begun = &queue[beginning];
        let is_end = |end: &usize| queue[*end].status == Status::Resolved && queue[*end].key == begun.key;
        (begun.status == Status::Firing).then(|| (beginning + 1..queue.len()).find(is_end))?
    };
    let Some((beginning, end)) = (1..queue.len()).find_map(|beginning| Some((beginning, end(beginning)?))) else {
        return false;
    };
    queue.remove(end);
    queue.remove(beginning);
    true
}
