//! When something about a session or user became known to be over.

use std::array;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::Identity;

/// Ids share places: one that is hit by a stranger's revocation asks once more than it had to.
const PLACES: usize = u8::MAX as usize + 1;

/// A moment between revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(u64);

/// Remembers for every id, in bounded memory, when it was last revoked, and wakes those who follow it.
pub(crate) struct Revocations {
    clock: Mutex<Stamp>,
    places: [watch::Sender<Stamp>; PLACES],
}

impl Revocations {
    pub(crate) fn new() -> Self {
        Self { clock: Mutex::new(Stamp(0)), places: array::from_fn(|_| watch::Sender::new(Stamp(0))) }
    }

    /// Now. What a source is asked from here on has seen every revocation until here.
    pub(crate) fn stamp(&self) -> Stamp {
        *self.clock()
    }

    /// Notes that whatever was asked about this session or user before is not to be believed any more.
    pub(crate) fn note(&self, id: &str) {
        let mut clock = self.clock();
        clock.0 += 1;
        self.places[place(id)].send_replace(*clock);
    }

    /// Wakes those who follow it, once what was noted took effect.
    pub(crate) fn wake(&self, id: &str) {
        self.places[place(id)].send_modify(|_| ());
    }

    /// Does it, unless the session or its user was revoked since `asked`. No revocation comes between.
    pub(crate) fn unless_revoked(&self, asked: Stamp, identity: &Identity, store: impl FnOnce()) -> bool {
        let _clock = self.clock();
        let holds = ids(identity).iter().all(|id| *self.places[place(id)].borrow() <= asked);
        if holds {
            store();
        }
        holds
    }

    /// Wakes for revocations of the session and of its user, and for some of others'.
    pub(crate) fn subscribe(&self, identity: &Identity) -> [watch::Receiver<Stamp>; 2] {
        ids(identity).map(|id| self.places[place(id)].subscribe())
    }

    fn clock(&self) -> MutexGuard<'_, Stamp> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ids(identity: &Identity) -> [&str; 2] {
    [&identity.session.id, &identity.user.id]
}

fn place(id: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let [place, ..] = hasher.finish().to_ne_bytes();
    place.into()
}
