//! One question per key at a time, however many ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::cache::Key;

/// Questions under way.
pub(crate) struct Flights<T> {
    cells: Mutex<HashMap<Key, Arc<OnceCell<T>>>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { cells: Mutex::default() }
    }
}

impl<T: Clone> Flights<T> {
    /// The answer of the question that is under way for the key, or `load`'s. Whatever it is, it is forgotten as
    /// soon as it is there. A caller that goes away does not take the answer with it: one of the others asks anew.
    pub(crate) async fn join(&self, key: Key, load: impl Future<Output = T>) -> T {
        let seat = Seat { flights: self, key, cell: Arc::clone(self.cells().entry(key).or_default()) };
        let answer = seat.cell.get_or_init(async || {
            let answer = load.await;
            // Before anybody has it: who comes later must not be told what was known earlier.
            seat.leave();
            answer
        });
        answer.await.clone()
    }
}

impl<T> Flights<T> {
    fn cells(&self) -> MutexGuard<'_, HashMap<Key, Arc<OnceCell<T>>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's part in a question.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: Key,
    cell: Arc<OnceCell<T>>,
}

impl<T> Seat<'_, T> {
    fn leave(&self) {
        let mut cells = self.flights.cells();
        if self.is_in(&cells) {
            cells.remove(&self.key);
        }
    }

    fn is_in(&self, cells: &HashMap<Key, Arc<OnceCell<T>>>) -> bool {
        cells.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell))
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut cells = self.flights.cells();
        // Only the table and this one are left: everybody went before the answer came.
        if Arc::strong_count(&self.cell) == 2 && self.is_in(&cells) {
            cells.remove(&self.key);
        }
    }
}
