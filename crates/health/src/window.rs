use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What counters showed during the last while.
#[derive(Debug)]
pub(crate) struct Window<T> {
    span: Duration,
    samples: VecDeque<(Instant, T)>,
}

impl<T: Copy> Window<T> {
    /// A window as long as `span`.
    pub(crate) fn new(span: Duration) -> Self {
        Self { span, samples: VecDeque::new() }
    }

    /// Takes what the counters show now, and returns what they showed `span` ago or, as long as nobody looked then,
    /// at the first look; and how long ago that is.
    pub(crate) fn slide(&mut self, now: Instant, value: T) -> (T, Duration) {
        self.samples.push_back((now, value));
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= self.span) {
            self.samples.pop_front();
        }
        self.samples.front().map_or((value, Duration::ZERO), |(at, first)| (*first, now.duration_since(*at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_the_newest_sample_that_is_old_enough() {
        let (start, mut window) = (Instant::now(), Window::new(Duration::from_mins(1)));
        let mut at = |seconds| {
            let (value, age) = window.slide(start + Duration::from_secs(seconds), seconds);
            (value, age.as_secs())
        };
        assert_eq!(at(0), (0, 0));
        assert_eq!(at(10), (0, 10));
        assert_eq!(at(59), (0, 59));
        assert_eq!(at(65), (0, 65), "the sample of 10 is only 55 s old");
        assert_eq!(at(70), (10, 60));
        assert_eq!(at(500), (70, 430));
        assert_eq!(at(501), (70, 431));
    }
}
