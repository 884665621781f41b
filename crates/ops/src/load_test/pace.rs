use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// How long the thread sleeps at most before it looks whether it is still wanted.
const NAP: Duration = Duration::from_millis(20);
/// For how long after the end what is overdue is still done.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Times at a steady rate, one of them exactly at `from`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) from: Instant,
    /// How many come before `from`.
    pub(super) before: u64,
    /// A second.
    pub(super) rate: f64,
    pub(super) end: Option<Instant>,
}

impl Pace {
    fn due(&self, index: u64) -> Instant {
        let distance = Duration::from_secs_f64(index.abs_diff(self.before) as f64 / self.rate);
        let earlier = || self.from.checked_sub(distance).unwrap_or(self.from);
        if index < self.before { earlier() } else { self.from + distance }
    }

    /// Calls `go` for each number from 0 when it is due, until the end or until it is told to stop, and then `missed` for what
    /// had been due and was not done. To be called on a thread of its own: the timers of tokio are good to a
    /// millisecond, which is more than many answers take; those of threads to a twentieth of that.
    pub(super) fn keep(
        &self,
        stop: &CancellationToken,
        mut go: impl FnMut(u64, Instant),
        mut missed: impl FnMut(u64, Instant),
    ) {
        let times = (0..).map(|index| (index, self.due(index)));
        let mut times = times.take_while(|(_, due)| self.end.is_none_or(|end| *due < end));
        while let Some((index, due)) = times.next() {
            let hopeless = self.end.is_some_and(|end| Instant::now() > end + CATCH_UP);
            if hopeless || !wait_until(due, stop) {
                let now = Instant::now();
                let overdue = std::iter::once((index, due)).chain(times).take_while(|(_, due)| *due <= now);
                return overdue.for_each(|(index, due)| missed(index, due));
            }
            go(index, due);
        }
        if let Some(end) = self.end {
            wait_until(end, stop);
        }
    }
}

/// Whether it came so far.
fn wait_until(due: Instant, stop: &CancellationToken) -> bool {
    loop {
        if stop.is_cancelled() {
            return false;
        }
        match due.checked_duration_since(Instant::now()) {
            None | Some(Duration::ZERO) => return true,
            Some(left) => std::thread::park_timeout(left.min(NAP)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: f64, milliseconds: u64) -> Pace {
        let from = Instant::now();
        Pace { from, before: 0, rate, end: Some(from + Duration::from_millis(milliseconds)) }
    }

    #[test]
    fn everything_that_is_due_before_the_end_is_done_and_never_too_early() {
        let mut done = Vec::new();
        let go = |index, due| {
            assert!(Instant::now() >= due);
            done.push(index);
        };
        pace(1000.0, 50).keep(&CancellationToken::new(), go, |index, _| panic!("{index} was missed"));
        assert_eq!(done, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn what_comes_before_the_beginning_takes_nothing_from_what_comes_after() {
        let pace = Pace { before: 7, ..pace(3.0, 1000) };
        let times: Vec<_> = (0..12).map(|index| pace.due(index)).collect();
        assert!(times.is_sorted());
        assert_eq!(times[7], pace.from);
        assert_eq!(times.iter().filter(|due| (pace.from..pace.end.unwrap()).contains(*due)).count(), 3);
    }

    #[test]
    fn what_a_generator_that_does_not_keep_up_leaves_undone_is_told() {
        let (mut done, mut missed) = (0_u64, 0_u64);
        let slow = |_, _| {
            std::thread::park_timeout(Duration::from_millis(10));
            done += 1;
        };
        pace(100_000.0, 100).keep(&CancellationToken::new(), slow, |_, _| missed += 1);
        assert!(done < 1000 && done + missed == 10_000, "{done} + {missed}");
    }

    #[test]
    fn when_it_is_stopped_only_what_was_due_by_then_is_missed() {
        let stop = CancellationToken::new();
        let mut done = 0;
        let stopping = |_, _| {
            done += 1;
            stop.cancel();
        };
        pace(0.1, 60_000).keep(&stop, stopping, |index, _| panic!("{index} was not due"));
        assert_eq!(done, 1);
    }
}
