//! What happens, told to those who listen while it happens.
//!
//! A [`Notice`] goes to the subscriptions of this process at once and to those of other processes by `NOTIFY`. It is a
//! hint: the table is the truth. Who is too slow for its bounded buffer, or could not be told, is told
//! [`Signal::Missed`] and reads the table again.

mod notice;
mod replicas;
mod wire;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

pub use notice::{Notice, TurnStatus, What};

use crate::{Actor, Conversations, Error, ListMessages, Messages};

/// Notices that wait for one subscription at most.
const BUFFER: usize = 256;
/// Streams that read the table at the same time, of however many: requests need connections, too.
const READERS: usize = 4;
/// The most streams that one user may have open with one process.
pub const MAX_STREAMS_PER_USER: u32 = 20;

/// Those who listen. Cheap to clone; clones share everything.
#[derive(Clone, Default)]
pub struct Live(Arc<Inner>);

struct Inner {
    subscriptions: Mutex<Subscriptions>,
    streams: Mutex<HashMap<String, u32>>,
    outbox: Mutex<replicas::Outbox>,
    /// There is something in the outbox.
    told: Notify,
    readers: Semaphore,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            subscriptions: Mutex::default(),
            streams: Mutex::default(),
            outbox: Mutex::default(),
            told: Notify::new(),
            readers: Semaphore::new(READERS),
        }
    }
}

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
        let notice = Arc::new(notice);
        self.deliver(&Signal::Notice(Arc::clone(&notice)));
        self.tell_others(notice);
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

    /// Counts a stream of the user for as long as what is returned. None when there are [`MAX_STREAMS_PER_USER`].
    #[must_use]
    pub fn admit(&self, user_id: &str) -> Option<Admission> {
        let mut streams = self.streams();
        let count = streams.entry(user_id.to_owned()).or_default();
        if *count >= MAX_STREAMS_PER_USER {
            return None;
        }
        *count += 1;
        Some(Admission { live: self.clone(), user_id: user_id.to_owned() })
    }

    /// Tells those of this process whom it concerns: everybody that something was missed.
    fn deliver(&self, signal: &Signal) {
        let subscriptions = self.subscriptions();
        let topics = &subscriptions.by_topic;
        match signal {
            Signal::Notice(notice) => {
                let concerned = [Topic::Session(notice.session_id), Topic::Workspace(notice.workspace_id.clone())];
                let listeners = concerned.iter().filter_map(|topic| topics.get(topic)).flat_map(HashMap::values);
                listeners.for_each(|mailbox| mailbox.put(signal));
            }
            Signal::Missed => topics.values().flat_map(HashMap::values).for_each(|mailbox| mailbox.put(signal)),
        }
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
        drop(subscriptions);
        Subscription { live: self.clone(), id, topics, signals, missed }
    }

    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.0.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn put(&self, signal: &Signal) {
        if self.signals.try_send(signal.clone()).is_err() {
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
        match self.signals.recv().await {
            Some(signal) => signal,
            // Nothing can be heard.
            None => std::future::pending().await,
        }
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

/// A stream of a user, until dropped.
pub struct Admission {
    live: Live,
    user_id: String,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut streams = self.live.streams();
        if let Some(count) = streams.get_mut(&self.user_id) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.user_id);
            }
        }
    }
}

impl Conversations {
    /// [`list_messages`](Self::list_messages) for streams: only a few read at the same time, however many there are.
    ///
    /// # Errors
    /// As `list_messages`.
    pub async fn follow(&self, actor: &Actor<'_>, session_id: Uuid, list: ListMessages) -> Result<Messages, Error> {
        let _turn = self.live.0.readers.acquire().await;
        self.list_messages(actor, session_id, list).await
    }
}
