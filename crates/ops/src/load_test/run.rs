use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::pace::Pace;
use super::record::Recorder;
use super::{Load, Model, Scenario};

/// How often a second the generator looks, in the closed model, how late it is.
const LOOKS: f64 = 100.0;

/// A scenario, ready to be sent.
pub(super) struct Shot {
    pub(super) scenario: Scenario,
    pub(super) request: Request<Full<Bytes>>,
}

/// One load while it runs.
pub(super) struct Run {
    pub(super) client: Client,
    pub(super) shots: Vec<Shot>,
    /// The shots' numbers, in the order in which they take turns.
    turns: Vec<usize>,
    pub(super) load: Load,
    pub(super) recorder: Recorder,
    start: Instant,
    /// When counting begins.
    from: Instant,
    /// When sending ends, where that is known.
    until: Option<Instant>,
    /// Requests of the closed model, and those of them that count.
    begun: AtomicU64,
    counted: AtomicU64,
}

impl Run {
    /// Begins now, with at least one shot.
    pub(super) fn new(client: Client, shots: Vec<Shot>, load: Load) -> Self {
        let start = Instant::now();
        let from = start + load.warm_up;
        // The clock sends a number of requests in a time that is known.
        let time = match load {
            Load { model: Model::Open { rate, .. }, requests: Some(requests), .. } => {
                let time = Duration::from_secs_f64(requests as f64 / rate);
                Some(load.duration.map_or(time, |duration| duration.min(time)))
            }
            Load { duration, .. } => duration,
        };
        let until = time.map(|time| from + time);
        let weights: Vec<_> = shots.iter().map(|shot| shot.scenario.weight.unwrap_or(1)).collect();
        Self {
            recorder: Recorder::new(from, until, shots.len()),
            turns: turns(&weights),
            client,
            shots,
            load,
            start,
            from,
            until,
            begun: AtomicU64::new(0),
            counted: AtomicU64::new(0),
        }
    }

    /// Sends until the end and waits for the answers; when it is told to stop, it gives up what is in flight.
    pub(super) async fn finish(self: &Arc<Self>, stop: &CancellationToken) {
        let mut flying = match self.load.model {
            Model::Open { rate, max_in_flight } => self.open(rate, max_in_flight, stop).await,
            Model::Closed { concurrency } => self.closed(concurrency),
        };
        let landing = async { while flying.join_next().await.is_some() {} };
        if stop.run_until_cancelled(landing).await.is_none() {
            flying.shutdown().await;
        }
    }

    /// The share that is done when so many requests have ended.
    pub(super) fn done(&self, requests: u64) -> f64 {
        let time = self.until.map(|until| self.start.elapsed().as_secs_f64() / (until - self.start).as_secs_f64());
        let count = self.load.requests.map(|all| requests as f64 / all as f64);
        time.into_iter().chain(count).fold(0.0, f64::max).min(1.0)
    }

    /// Sends each request when it is due; the last ones are still in flight then.
    async fn open(self: &Arc<Self>, rate: f64, max_in_flight: usize, stop: &CancellationToken) -> JoinSet<()> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both are positive")]
        let before = (self.load.warm_up.as_secs_f64() * rate) as u64;
        let pace = Pace { from: self.from, before, rate, end: self.until };
        let (run, stop, runtime) = (Arc::clone(self), stop.clone(), Handle::current());
        let sending = move || {
            let mut flying = JoinSet::new();
            let go = |index, due| {
                while flying.try_join_next().is_some() {}
                if flying.len() < max_in_flight {
                    let flight = Flight::new(&run, index, due);
                    let flight = async move {
                        flight.run.recorder.did(due);
                        flight.fly().await;
                    };
                    flying.spawn_on(flight, &runtime);
                } else if run.recorder.counts(due) {
                    run.recorder.tally(run.turn(index)).over_limit += 1;
                }
            };
            let missed = |index, due| {
                if run.recorder.counts(due) {
                    run.recorder.tally(run.turn(index)).too_late += 1;
                }
            };
            pace.keep(&stop, go, missed);
            flying
        };
        match tokio::task::spawn_blocking(sending).await {
            Ok(flying) => flying,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// So many clients, each of which waits for its answer before it asks again.
    fn closed(self: &Arc<Self>, concurrency: usize) -> JoinSet<()> {
        let over = CancellationToken::new();
        let last = Arc::new(over.clone().drop_guard());
        let mut clients = JoinSet::new();
        for _ in 0..concurrency {
            let (run, last) = (Arc::clone(self), Arc::clone(&last));
            clients.spawn(async move {
                while let Some((index, now)) = run.next() {
                    Flight::new(&run, index, now).fly().await;
                }
                drop(last);
            });
        }
        // Nothing is due here that could be late, so the generator sets itself dates.
        let (run, runtime) = (Arc::clone(self), Handle::current());
        let pace = Pace { from: self.start, before: 0, rate: LOOKS, end: None };
        tokio::task::spawn_blocking(move || {
            let look = |_, due| {
                let run = Arc::clone(&run);
                runtime.spawn(async move { run.recorder.did(due) });
            };
            pace.keep(&over, look, |_, _| {});
        });
        clients
    }

    /// The next request of a client, unless it is over.
    fn next(&self) -> Option<(u64, Instant)> {
        let now = Instant::now();
        let counts = || self.recorder.counts(now).then(|| self.counted.fetch_add(1, Ordering::Relaxed));
        let over = self.until.is_some_and(|until| now >= until)
            || self.load.requests.is_some_and(|all| counts().is_some_and(|before| before >= all));
        (!over).then(|| (self.begun.fetch_add(1, Ordering::Relaxed), now))
    }

    fn turn(&self, index: u64) -> usize {
        let turn = index % self.turns.len() as u64;
        self.turns[usize::try_from(turn).unwrap_or_default()]
    }
}

/// A request that is due. One that is given up leaves its trace.
struct Flight {
    run: Arc<Run>,
    turn: usize,
    due: Instant,
    landed: bool,
}

impl Flight {
    fn new(run: &Arc<Run>, index: u64, due: Instant) -> Self {
        Self { run: Arc::clone(run), turn: run.turn(index), due, landed: false }
    }

    async fn fly(mut self) {
        let (run, shot) = (&self.run, &self.run.shots[self.turn]);
        run.recorder.sends(Instant::now());
        let mut bytes = 0;
        let outcome = run.client.exchange(shot.request.clone(), &mut bytes).await;
        run.recorder.ends(self.turn, self.due, |status| shot.scenario.expects(status), outcome, bytes);
        self.landed = true;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed && self.run.recorder.counts(self.due) {
            let mut tally = self.run.recorder.tally(self.turn);
            tally.unfinished += 1;
            tally.oldest_unfinished = tally.oldest_unfinished.max(self.due.elapsed());
        }
    }
}

/// An order in which each number comes as often as its weight says, as evenly as can be.
fn turns(weights: &[u32]) -> Vec<usize> {
    let total: i64 = weights.iter().copied().map(i64::from).sum();
    let mut credits = vec![0; weights.len()];
    let turn = |_| {
        for (credit, weight) in credits.iter_mut().zip(weights) {
            *credit += i64::from(*weight);
        }
        let richest =
            (0..credits.len()).max_by_key(|index| (credits[*index], std::cmp::Reverse(*index))).unwrap_or_default();
        credits[richest] -= total;
        richest
    };
    (0..total).map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_as_many_as_the_weights_say_and_evenly_spread() {
        assert_eq!(turns(&[1]), [0]);
        assert_eq!(turns(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(turns(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
    }
}
