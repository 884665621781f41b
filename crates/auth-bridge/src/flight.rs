//! One question per key at a time, however many ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::cache::Key;

/// Questions under way.
pub(crate) struct Flights<T> {
    under_way: Mutex<HashMap<Key, Arc<Flight<T>>>>,
}

struct Flight<T> {
    began: Instant,
    answer: OnceCell<T>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { under_way: Mutex::default() }
    }
}

impl<T: Clone> Flights<T> {
    /// The answer of the question that is under way for the key, or `load`'s. Whatever it is, it is forgotten as
    /// soon as it is there. A caller that goes away does not take the answer with it: one of the others asks anew.
    pub(crate) async fn join(&self, key: Key, load: impl Future<Output = T>) -> T {
        let flight = || Arc::new(Flight { began: Instant::now(), answer: OnceCell::new() });
        let flight = Arc::clone(self.under_way().entry(key).or_insert_with(flight));
        let seat = Seat { flights: self, key, flight };
        let answer = seat.flight.answer.get_or_init(async || {
            let answer = load.await;
            // Before anybody has it: who comes later must not be told what was known earlier.
            seat.leave();
            answer
        });
        answer.await.clone()
    }

    /// How long the key's question has been under way, if one is.
    pub(crate) fn age(&self, key: &Key) -> Option<Duration> {
        Some(self.under_way().get(key)?.began.elapsed())
    }
}

impl<T> Flights<T> {
    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight<T>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's part in a question.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: Key,
    flight: Arc<Flight<T>>,
}

impl<T> Seat<'_, T> {
    fn leave(&self) {
        let mut under_way = self.flights.under_way();
        if self.is_in(&under_way) {
            under_way.remove(&self.key);
        }
    }

    fn is_in(&self, under_way: &HashMap<Key, Arc<Flight<T>>>) -> bool {
        under_way.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way();
        // Only the table and this one are left: everybody went before the answer came.
        if Arc::strong_count(&self.flight) == 2 && self.is_in(&under_way) {
            under_way.remove(&self.key);
        }
    }
}
