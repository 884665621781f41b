//! What happens, told to those who listen while it happens.
//!
//! A [`Notice`] goes to the subscriptions of this process at once. It is a hint: the table is the truth. Who is too
//! slow for its bounded buffer is told [`Signal::Missed`] and reads the table again.

mod notice;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use uuid::Uuid;

pub use notice::{Notice, TurnStatus, What};

/// Notices that wait for one subscription at most.
const BUFFER: usize = 32;

/// Those who listen. Cheap to clone; clones share everything.
#[derive(Clone, Default)]
pub struct Live(Arc<Mutex<Subscriptions>>);

#[derive(Default)]
struct Subscriptions {
    by_topic: HashMap<Topic, HashMap<u64, Mailbox>>,
    next_id: u64,
}

/// What can be listened to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Topic {
    Session(Uuid),
    Workspace(String),
}

#[derive(Clone)]
struct Mailbox {
    signals: Sender<Signal>,
    missed: Arc<AtomicBool>,
}

/// What a subscription is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Something happened.
    Notice(Arc<Notice>),
    /// Anything may have happened: the table knows.
    Missed,
}

impl Live {
    /// Tells everybody who listens. Waits for nobody; to be called once the table says so, too.
    pub fn announce(&self, notice: Notice) {
        let topics = [Topic::Session(notice.session_id), Topic::Workspace(notice.workspace_id.clone())];
        let signal = Signal::Notice(Arc::new(notice));
        let subscriptions = self.subscriptions();
        for mailbox in topics.iter().filter_map(|topic| subscriptions.by_topic.get(topic)).flat_map(HashMap::values) {
            mailbox.put(signal.clone());
        }
    }

    /// Listens to one session.
    #[must_use]
    pub fn session(&self, id: Uuid) -> Subscription {
        self.subscribe(vec![Topic::Session(id)])
    }

    /// Listens to all sessions of workspaces.
    #[must_use]
    pub fn workspaces(&self, ids: impl IntoIterator<Item = String>) -> Subscription {
        self.subscribe(ids.into_iter().map(Topic::Workspace).collect())
    }

    fn subscribe(&self, topics: Vec<Topic>) -> Subscription {
        let (sender, signals) = channel(BUFFER);
        let missed = Arc::new(AtomicBool::new(false));
        let mailbox = Mailbox { signals: sender, missed: Arc::clone(&missed) };
        let mut subscriptions = self.subscriptions();
        let id = subscriptions.next_id;
        subscriptions.next_id += 1;
        for topic in &topics {
            subscriptions.by_topic.entry(topic.clone()).or_default().insert(id, mailbox.clone());
        }
        Subscription { live: self.clone(), id, topics, signals, missed }
    }

    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn put(&self, signal: Signal) {
        if self.signals.try_send(signal).is_err() {
            self.missed.store(true, Ordering::Relaxed);
        }
    }
}

/// Somebody who listens, until dropped.
pub struct Subscription {
    live: Live,
    id: u64,
    topics: Vec<Topic>,
    signals: Receiver<Signal>,
    missed: Arc<AtomicBool>,
}

impl Subscription {
    /// Waits for what happens next. It may be dropped and called again.
    pub async fn next(&mut self) -> Signal {
        if self.missed.swap(false, Ordering::Relaxed) {
            while self.signals.try_recv().is_ok() {}
            return Signal::Missed;
        }
        // Its sender is in `live`, for as long as this is.
        self.signals.recv().await.unwrap_or(Signal::Missed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscriptions = self.live.subscriptions();
        for topic in self.topics.drain(..) {
            if let Entry::Occupied(mut listeners) = subscriptions.by_topic.entry(topic) {
                listeners.get_mut().remove(&self.id);
                if listeners.get().is_empty() {
                    listeners.remove();
                }
            }
        }
    }
}
