use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::client::Answer;
use super::failure::{Failure, Kind};
use super::latencies::Latencies;

/// A time without a request is a pause from here on; shorter ones are how closed loops breathe.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// What happened to the requests of one scenario.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Of all that ended, well or not.
    pub(super) latency: Latencies,
    pub(super) statuses: BTreeMap<u16, Latencies>,
    pub(super) failures: BTreeMap<Kind, Failed>,
    /// Answers that are as expected.
    pub(super) good: u64,
    /// Those of them that came while requests were sent, the time that rates are of.
    pub(super) good_in_time: u64,
    /// Of bodies.
    pub(super) bytes: u64,
    /// Were due, and not sent because too many were in flight.
    pub(super) over_limit: u64,
    /// Were due, and not sent because the generator did not keep up.
    pub(super) too_late: u64,
    /// Were in flight when somebody ended it.
    pub(super) unfinished: u64,
    /// For how long the oldest of those had been.
    pub(super) oldest_unfinished: Duration,
}

/// Failures of one kind.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) latency: Latencies,
    /// The first one.
    pub(super) example: String,
    /// When it was, since counting began.
    pub(super) first_at: Duration,
}

impl Tally {
    pub(super) fn failed(&self) -> u64 {
        self.failures.values().map(|failed| failed.latency.count()).sum()
    }

    pub(super) fn unsent(&self) -> u64 {
        self.over_limit + self.too_late
    }

    /// The share of failed and unsent ones; none when nothing was due.
    pub(super) fn error_rate(&self) -> Option<f64> {
        let due = self.latency.count() + self.unsent();
        (due > 0).then(|| (self.failed() + self.unsent()) as f64 / due as f64)
    }
}

/// Takes down what happens while one load runs.
#[derive(Debug)]
pub(super) struct Recorder {
    /// Nothing that was due before is counted.
    from: Instant,
    /// When the last request is due, if that is known: what ends later is no part of the rate.
    until: Option<Instant>,
    tallies: Vec<Mutex<Tally>>,
    /// How late the generator was.
    lag: Mutex<Latencies>,
    /// Microseconds since `from`.
    last_sent: AtomicU64,
    last_ended: AtomicU64,
    pauses: AtomicU64,
    longest_pause: AtomicU64,
    /// Ended, and of them badly; for those who watch.
    ended: AtomicU64,
    failed: AtomicU64,
}

impl Recorder {
    pub(super) fn new(from: Instant, until: Option<Instant>, scenarios: usize) -> Self {
        Self {
            from,
            until,
            tallies: (0..scenarios).map(|_| Mutex::default()).collect(),
            lag: Mutex::default(),
            last_sent: AtomicU64::new(0),
            last_ended: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
            longest_pause: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Whether what was due then is counted.
    pub(super) fn counts(&self, due: Instant) -> bool {
        due >= self.from
    }

    /// The generator did now what was due then.
    pub(super) fn did(&self, due: Instant) {
        if self.counts(due) {
            lock(&self.lag).record(due.elapsed());
        }
    }

    /// A request goes out now.
    pub(super) fn sends(&self, now: Instant) {
        if self.counts(now) {
            let now = micros(now.duration_since(self.from));
            let before = self.last_sent.fetch_max(now, Ordering::Relaxed);
            self.pause(now.saturating_sub(before));
        }
    }

    fn pause(&self, length: u64) {
        if length >= micros(PAUSE) {
            self.pauses.fetch_add(length, Ordering::Relaxed);
            self.longest_pause.fetch_max(length, Ordering::Relaxed);
        }
    }

    /// A request of scenario number `index` that was due then has ended, having brought `bytes` of a body.
    pub(super) fn ends(
        &self,
        index: usize,
        due: Instant,
        expects: impl Fn(u16) -> bool,
        outcome: Result<Answer, Failure>,
        bytes: u64,
    ) {
        if !self.counts(due) {
            return;
        }
        let now = Instant::now();
        let (latency, at) = (now.duration_since(due), now.duration_since(self.from));
        self.last_ended.fetch_max(micros(at), Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
        let mut tally = lock(&self.tallies[index]);
        tally.latency.record(latency);
        tally.bytes += bytes;
        let failure = match outcome {
            Err(failure) => failure,
            Ok(Answer { status, request_id }) => {
                tally.statuses.entry(status.as_u16()).or_default().record(latency);
                if expects(status.as_u16()) {
                    tally.good += 1;
                    tally.good_in_time += u64::from(self.until.is_none_or(|until| now <= until));
                    return;
                }
                let id = request_id.map_or_else(String::new, |id| format!(", request {id}"));
                Failure::new(Kind::UnexpectedStatus, format!("status {}{id}", status.as_u16()))
            }
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        let first = || Failed { latency: Latencies::default(), example: failure.message, first_at: at };
        tally.failures.entry(failure.kind).or_insert_with(first).latency.record(latency);
    }

    /// Gives access to what is not told by the methods above.
    pub(super) fn tally(&self, index: usize) -> MutexGuard<'_, Tally> {
        lock(&self.tallies[index])
    }

    pub(super) fn lag(&self) -> MutexGuard<'_, Latencies> {
        lock(&self.lag)
    }

    /// How many requests have ended, and how many of them badly.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.ended.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Ends the taking down. The time that rates are of: until the last request was due, or, when nobody knew or it ended
    /// before, until the last one ended.
    pub(super) fn window(&self) -> Duration {
        let ended = Duration::from_micros(self.last_ended.load(Ordering::Relaxed));
        let planned = self.until.map(|until| until.saturating_duration_since(self.from));
        planned.map_or(ended, |planned| planned.min(self.from.elapsed()))
    }

    /// The share of the window in which nothing was sent, and its longest piece.
    pub(super) fn silence(&self) -> (f64, Duration) {
        let window = micros(self.window());
        if self.until.is_some() {
            self.pause(window.saturating_sub(self.last_sent.load(Ordering::Relaxed)));
        }
        let share = self.pauses.load(Ordering::Relaxed) as f64 / window.max(1) as f64;
        (share.min(1.0), Duration::from_micros(self.longest_pause.load(Ordering::Relaxed)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
