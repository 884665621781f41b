//! Keeps a source that does not answer from costing every request a timeout.
//!
//! Closed: everybody asks. Three failures in a row with no answer between them open it. Open: nobody asks, but for
//! one question in each pause (half-open), however long that one hangs. Any answer closes it again.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Refusal;

const THRESHOLD: u32 = 3;
/// The shortest pause between two probes, and by how much it may be longer: replicas are not to knock together.
const PAUSE: Duration = Duration::from_millis(300);
const JITTER: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// When the source last answered.
    answered: Option<Instant>,
    /// When it may be asked again; set while open.
    probe_at: Option<Instant>,
}

impl State {
    fn admits(&mut self, now: Instant, pause: Duration) -> bool {
        match &mut self.probe_at {
            None => true,
            Some(at) if now < *at => false,
            Some(at) => {
                *at = now + pause;
                true
            }
        }
    }

    fn answered(&mut self, now: Instant) {
        *self = Self { failures: 0, answered: Some(now), probe_at: None };
    }

    /// A question that was asked before the last answer says nothing about the source after it.
    fn failed(&mut self, asked: Instant, now: Instant, pause: Duration) {
        if self.answered.is_some_and(|answered| answered > asked) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= THRESHOLD && self.probe_at.is_none() {
            self.probe_at = Some(now + pause);
        }
    }
}

impl Breaker {
    /// Whether the source may be asked now.
    pub(crate) fn admits(&self) -> bool {
        self.state().admits(Instant::now(), pause())
    }

    /// Learns from the answer to a question of `asked`.
    pub(crate) fn learn<T>(&self, asked: Instant, answer: &Result<T, Refusal>) {
        match answer {
            Err(Refusal::Unknown(cause)) if !cause.is_answer() => self.state().failed(asked, Instant::now(), pause()),
            _ => self.state().answered(Instant::now()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause() -> Duration {
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    PAUSE + JITTER.mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(start: Instant) -> State {
        let mut state = State::default();
        for n in 0..THRESHOLD {
            assert!(state.admits(start, PAUSE), "closed after {n} failures");
            state.failed(start, start, PAUSE);
        }
        state
    }

    #[test]
    fn one_question_in_each_pause_until_an_answer() {
        let start = Instant::now();
        let mut state = open(start);
        assert!(!state.admits(start + PAUSE / 2, PAUSE));
        assert!(state.admits(start + PAUSE, PAUSE), "a probe");
        assert!(!state.admits(start + PAUSE, PAUSE), "one is enough");
        assert!(state.admits(start + PAUSE * 2, PAUSE), "the next, although the first still hangs");
        state.failed(start + PAUSE, start + PAUSE * 2, PAUSE);
        assert!(!state.admits(start + PAUSE * 2, PAUSE));
        state.answered(start + PAUSE * 3);
        assert!(state.admits(start + PAUSE * 3, PAUSE) && state.admits(start + PAUSE * 3, PAUSE));
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let (start, mut state) = (Instant::now(), State::default());
        for _ in 0..10 {
            state.failed(start, start, PAUSE);
            state.failed(start, start, PAUSE);
            state.answered(start);
        }
        assert!(state.admits(start, PAUSE));
    }

    #[test]
    fn what_was_asked_during_an_outage_does_not_open_it_again() {
        let start = Instant::now();
        let mut state = open(start);
        state.answered(start + PAUSE);
        for _ in 0..10 {
            state.failed(start, start + PAUSE * 2, PAUSE);
        }
        assert!(state.admits(start + PAUSE * 2, PAUSE));
    }

    #[test]
    fn pauses_differ_and_keep_their_bounds() {
        let pauses: Vec<_> = (0..100).map(|_| pause()).collect();
        assert!(pauses.iter().all(|pause| (PAUSE..=PAUSE + JITTER).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
