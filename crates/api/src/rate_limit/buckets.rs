//! Buckets that are emptied by use and fill again with time, one for each key, in bounded memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::mem;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::error::rate_limit;

/// How many keys are remembered at most. A map of half as many is just not made larger than that.
pub(super) const KEYS: usize = 56_000;
/// How long a key is remembered at least that is not pushed out by others.
pub(super) const LIFE: Duration = Duration::from_mins(10);

/// How much of a limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many requests may come at once.
    pub limit: u32,
    /// How many may still come now.
    pub remaining: u32,
    /// When the next may come; zero where one may now.
    pub wait: Duration,
    /// When as many as ever may come again.
    pub reset: Duration,
}

impl Standing {
    /// For the client.
    pub(crate) fn headers(self) -> [(HeaderName, HeaderValue); 3] {
        rate_limit(self.limit.into(), self.remaining.into(), self.reset)
    }
}

/// A map of bounded size that forgets what is not used. What is used is young; when there are many young ones, or
/// `life` is over, they are the old ones, and who was old and not used since is forgotten.
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    life: Duration,
    turned: Instant,
}

impl<K: Eq + Hash + Clone, V: Copy> Recent<K, V> {
    pub(super) fn new(life: Duration) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), life, turned: Instant::now() }
    }

    /// The value of a key, which is a use of it.
    fn get(&mut self, key: &K) -> Option<V> {
        if self.young.len() >= KEYS / 2 || self.turned.elapsed() >= self.life {
            self.old = mem::take(&mut self.young);
            self.turned = Instant::now();
        }
        if let Some(value) = self.young.get(key) {
            return Some(*value);
        }
        let value = self.old.remove(key)?;
        self.young.insert(key.clone(), value);
        Some(value)
    }

    /// Gives a key a value, and tells whether it had none.
    pub(super) fn set(&mut self, key: &K, value: V) -> bool {
        let is_new = self.get(key).is_none();
        self.young.insert(key.clone(), value);
        is_new
    }

    fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// When each bucket will be full.
struct Store<K>(Arc<Mutex<Recent<K, Nanos>>>);

impl<K> Store<K> {
    fn lock(&self) -> MutexGuard<'_, Recent<K, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> StateStore for Store<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut buckets = self.lock();
        let (outcome, full) = decide(buckets.get(key))?;
        buckets.young.insert(key.clone(), full);
        Ok(outcome)
    }
}

/// Since when time is measured. Tokio's, because tests can turn it on.
struct Time(Instant);

impl Clock for Time {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A bucket for each key.
pub(super) struct Buckets<K: Eq + Hash + Clone> {
    limiter: RateLimiter<K, Store<K>, Time, StateInformationMiddleware>,
    store: Store<K>,
    quota: Quota,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Buckets that hold `burst` and get `per_minute` back.
    pub(super) fn new(per_minute: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_minute(per_minute).allow_burst(burst);
        // Who is forgotten has a full bucket: it must not be sooner than it would be anyway.
        let life = LIFE.max(quota.burst_size_replenished_in());
        let buckets = Arc::new(Mutex::new(Recent::new(life)));
        let limiter = RateLimiter::new(quota, Store(Arc::clone(&buckets)), Time(Instant::now()));
        Self { limiter, store: Store(buckets), quota }
    }

    /// Takes one out of the key's bucket, and says what is left; the error is that it is empty.
    pub(super) fn take(&self, key: &K) -> Result<Standing, Standing> {
        let limit = self.quota.burst_size().get();
        let interval = self.quota.replenish_interval();
        match self.limiter.check_key(key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset = interval * (limit - remaining);
                Ok(Standing { limit, remaining, wait: Duration::ZERO, reset })
            }
            Err(empty) => {
                let wait = empty.wait_time_from(self.limiter.clock().now());
                Err(Standing { limit, remaining: 0, wait, reset: wait + interval * (limit - 1) })
            }
        }
    }

    /// Puts one back.
    pub(super) fn give_back(&self, key: &K) {
        let one = Nanos::from(self.quota.replenish_interval()).as_u64();
        let sooner = |full: Option<Nanos>| {
            let full = full.unwrap_or_default().as_u64().saturating_sub(one);
            Ok::<_, Infallible>(((), Nanos::from(full)))
        };
        let Ok(()) = self.store.measure_and_replace(key, sooner);
    }

    /// Whether the key has a bucket, which is a use of it.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.store.lock().get(key).is_some()
    }

    pub(super) fn remove(&self, key: &K) {
        self.store.lock().remove(key);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.store.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn seconds(duration: Duration) -> f64 {
        duration.as_secs_f64().round()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_empties_and_fills_again_with_time() {
        let buckets = Buckets::new(number(6), number(3));
        for (remaining, reset) in [(2, 10.0), (1, 20.0), (0, 30.0)] {
            let standing = buckets.take(&"a").unwrap();
            assert_eq!((standing.limit, standing.remaining, seconds(standing.reset)), (3, remaining, reset));
            assert_eq!(standing.wait, Duration::ZERO);
        }
        let empty = buckets.take(&"a").unwrap_err();
        assert_eq!((empty.remaining, seconds(empty.wait), seconds(empty.reset)), (0, 10.0, 30.0));
        assert_eq!(buckets.take(&"b").unwrap().remaining, 2, "another's is another");

        tokio::time::advance(Duration::from_secs(4)).await;
        let empty = buckets.take(&"a").unwrap_err();
        assert_eq!((seconds(empty.wait), seconds(empty.reset)), (6.0, 26.0), "what was refused cost nothing");
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(buckets.take(&"a").unwrap().remaining, 0);
        buckets.take(&"a").unwrap_err();
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(buckets.take(&"a").unwrap().remaining, 2, "never more than it holds");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_can_be_taken_again_and_no_more() {
        let buckets = Buckets::new(number(6), number(2));
        buckets.take(&"a").unwrap();
        buckets.take(&"a").unwrap();
        buckets.give_back(&"a");
        assert_eq!(buckets.take(&"a").unwrap().remaining, 0);
        for _ in 0..5 {
            buckets.give_back(&"a");
        }
        assert_eq!(buckets.take(&"a").unwrap().remaining, 1);
        assert_eq!(buckets.take(&"a").unwrap().remaining, 0);
        buckets.take(&"a").unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_used_is_forgotten_and_who_is_used_is_not() {
        let buckets = Buckets::new(number(600), number(2));
        buckets.take(&"idle").unwrap();
        for _ in 0..5 {
            buckets.take(&"used").unwrap();
            tokio::time::advance(LIFE / 2).await;
        }
        assert!(buckets.contains(&"used") && !buckets.contains(&"idle"));
        buckets.remove(&"used");
        assert!(!buckets.contains(&"used"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_is_not_full_again_is_not_forgotten() {
        // An hour to fill again.
        let buckets = Buckets::new(number(1), number(60));
        for _ in 0..60 {
            buckets.take(&"a").unwrap();
        }
        for _ in 0..3 {
            tokio::time::advance(Duration::from_mins(11)).await;
            buckets.take(&"b").unwrap();
        }
        assert!(buckets.take(&"a").unwrap().remaining < 35);
    }

    #[test]
    fn a_million_keys_take_bounded_memory_and_do_not_push_out_who_is_used() {
        let buckets = Buckets::new(number(1), number(100));
        for key in 0..1_000_000_u32 {
            buckets.take(&key).unwrap();
            if key % 10_000 == 0 {
                buckets.take(&u32::MAX).unwrap();
            }
        }
        assert!(buckets.len() <= KEYS, "{}", buckets.len());
        let capacity = buckets.store.lock().old.capacity();
        assert!(capacity < KEYS, "{capacity}");
        buckets.take(&u32::MAX).unwrap_err();
    }
}
