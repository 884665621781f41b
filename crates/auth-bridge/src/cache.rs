//! Remembers verdicts, so that a source is asked once per session and not once per request.
//!
//! Two stores, because they must not compete: valid sessions and refusals. However much garbage is presented, it
//! pushes out only other garbage. An answer that could not be had is shared by those who wait for it and then
//! forgotten.
//!
//! A valid session is believed for a while after the source vouched for it, by a look-up or by revalidation. It is
//! kept for longer, so that it can be served while the source cannot be asked. What was asked before a revocation is
//! not stored after it.

use std::borrow::Cow;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use moka::Expiry;
use moka::ops::compute::Op;
use moka::sync;
use serde::Serialize;

use crate::flight::Flights;
use crate::metrics::{By, Metrics};
use crate::revocation::Revocations;
use crate::{Cause, Config, Identity, Reason, Refusal};

/// SHA-256 over all that an answer depends on. The token itself is not kept.
pub(crate) type Key = [u8; 32];

/// What the cache did since the start, and holds now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Valid sessions held, those included that ended and were not cleared away yet.
    pub total_cached_sessions: u64,
    /// Those that would be served.
    pub active_sessions: u64,
    /// Those that would not.
    pub expired_sessions: u64,
    /// Look-ups answered from memory, refusals included.
    pub hits: u64,
    /// Look-ups that were not.
    pub misses: u64,
    /// `hits / (hits + misses)`; 0 before the first look-up.
    pub hit_ratio: f64,
    /// The bound on valid sessions; 0 when caching is off.
    pub max_size: u64,
    /// How long a session is believed at most.
    pub ttl_seconds: u64,
}

/// How often a look-up is repeated that was overtaken by revocations.
const ATTEMPTS: usize = 3;

/// A valid session, and what is known of its being valid. Moments are microseconds since the cache was made.
pub(crate) struct Held {
    pub(crate) identity: Arc<Identity>,
    /// Admitted by a JWT: Sim knows the user and not the session.
    pub(crate) is_jwt: bool,
    keep: Duration,
    /// When the question began that the source last answered with this.
    vouched: AtomicU64,
    /// The round of revalidation that it was last used before.
    round: AtomicU64,
}

/// What revalidation asks about.
pub(crate) type InUse = Vec<(Key, Arc<Held>)>;

/// The sessions that were used since the last round of revalidation, each once. Looking through the whole cache for
/// them would cost more than asking about them does.
struct Used {
    round: AtomicU64,
    sessions: Mutex<InUse>,
}

impl Used {
    fn note(&self, key: &Key, held: &Arc<Held>) {
        let round = self.round.load(Ordering::Relaxed);
        if held.round.load(Ordering::Relaxed) != round && held.round.swap(round, Ordering::Relaxed) != round {
            self.sessions().push((*key, Arc::clone(held)));
        }
    }

    fn sessions(&self) -> MutexGuard<'_, InUse> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets every entry end when its own time is up.
struct KeepEach;

impl Expiry<Key, Arc<Held>> for KeepEach {
    fn expire_after_create(&self, _: &Key, held: &Arc<Held>, _: Instant) -> Option<Duration> {
        Some(held.keep)
    }

    fn expire_after_update(&self, _: &Key, held: &Arc<Held>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(held.keep)
    }
}

/// What is remembered about a credential.
pub(crate) enum Memory {
    Fresh(Arc<Identity>),
    Refused(Reason),
    /// Ask; meanwhile, or if nobody answers, this may be served.
    Stale(Arc<Held>),
    Nothing,
}

pub(crate) struct Cache {
    valid: sync::Cache<Key, Arc<Held>>,
    refused: sync::Cache<Key, Reason>,
    pub(crate) flights: Flights<Result<Arc<Identity>, Refusal>>,
    pub(crate) revocations: Revocations,
    /// Nothing where nothing is revalidated.
    used: Option<Used>,
    start: Instant,
    enabled: bool,
    ttl: Duration,
    /// How long a session is believed after the source vouched for it.
    pub(crate) believed: Duration,
    /// And how long it may be served when the source cannot be asked.
    served: Duration,
    max_size: u64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Cache {
    /// `revalidates`: everything in use is asked about again each `revalidate_interval`.
    pub(crate) fn new(config: &Config, revalidates: bool) -> Self {
        let ttl = config.cache_ttl;
        let (believed, served) = if revalidates {
            // One round may come late.
            let believed = ttl.min(config.revalidate_interval.saturating_mul(2));
            (believed, config.stale_if_error.max(believed))
        } else {
            (ttl, ttl.saturating_add(config.stale_if_error))
        };
        Self {
            valid: sync::Cache::builder().max_capacity(config.cache_max_size).expire_after(KeepEach).build(),
            refused: sync::Cache::builder()
                .max_capacity(config.cache_max_size)
                .time_to_live(config.negative_ttl)
                .build(),
            flights: Flights::default(),
            revocations: Revocations::new(),
            used: revalidates.then(|| Used { round: AtomicU64::new(1), sessions: Mutex::default() }),
            start: Instant::now(),
            enabled: config.caching,
            ttl,
            believed,
            served,
            max_size: if config.caching { config.cache_max_size } else { 0 },
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// What is remembered, counted.
    pub(crate) fn recall(&self, key: &Key, metrics: &Metrics) -> Memory {
        let memory = self.peek(key);
        let (count, counter) = match &memory {
            _ if !self.enabled => return memory,
            Memory::Fresh(_) => (&self.hits, &metrics.hits),
            Memory::Refused(_) => (&self.hits, &metrics.negatives),
            Memory::Stale(_) | Memory::Nothing => (&self.misses, &metrics.misses),
        };
        count.fetch_add(1, Ordering::Relaxed);
        counter.increment(1);
        memory
    }

    /// What is remembered.
    pub(crate) fn peek(&self, key: &Key) -> Memory {
        if !self.enabled {
            return Memory::Nothing;
        }
        let Some(held) = self.valid.get(key) else {
            return self.refused.get(key).map_or(Memory::Nothing, Memory::Refused);
        };
        // The wall clock may have been set forward: the entry's timer knows nothing of it.
        if !is_live(&held.identity, Utc::now()) {
            self.valid.invalidate(key);
            return Memory::Nothing;
        }
        if let Some(used) = &self.used {
            used.note(key, &held);
        }
        let age = Duration::from_micros(self.now().saturating_sub(held.vouched.load(Ordering::Relaxed)));
        if age < self.believed {
            Memory::Fresh(Arc::clone(&held.identity))
        } else if age < self.served {
            Memory::Stale(held)
        } else {
            Memory::Nothing
        }
    }

    /// Whether this may still be served: it was not revoked since it was recalled, and has not ended.
    pub(crate) fn still_holds(&self, key: &Key, held: &Arc<Held>) -> bool {
        is_live(&held.identity, Utc::now()) && self.valid.get(key).is_some_and(|now| Arc::ptr_eq(&now, held))
    }

    /// The answer of `load`, of which only one runs per key at a time, and remembers it. A caller that goes away does
    /// not take the others' load with it: one of them starts over.
    pub(crate) async fn fill<F>(
        &self,
        key: Key,
        is_jwt: bool,
        metrics: &Metrics,
        load: impl Fn() -> F,
    ) -> Result<Arc<Identity>, Refusal>
    where
        F: Future<Output = Result<Arc<Identity>, Refusal>>,
    {
        if !self.enabled {
            return load().await;
        }
        let filling = async {
            for _ in 0..ATTEMPTS {
                let (stamp, asked) = (self.revocations.stamp(), self.now());
                match load().await {
                    Ok(identity) => {
                        let held = Arc::new(self.held(Arc::clone(&identity), is_jwt, asked));
                        if let Some(used) = &self.used {
                            used.note(&key, &held);
                        }
                        let store = || self.valid.insert(key, held);
                        if self.revocations.unless_revoked(stamp, &identity, store) {
                            return Ok(identity);
                        }
                    }
                    Err(Refusal::Invalid(reason)) => {
                        if self.valid.remove(&key).is_some() {
                            metrics.revoked(By::reason(reason));
                        }
                        self.refused.insert(key, reason);
                        return Err(Refusal::Invalid(reason));
                    }
                    Err(unknown) => return Err(unknown),
                }
            }
            Err(Cause::new("revocations overtook every look-up").into())
        };
        let answer = self.flights.join(key, filling).await;
        metrics.cached_sessions.set(self.count() as f64);
        answer
    }

    fn held(&self, identity: Arc<Identity>, is_jwt: bool, vouched: u64) -> Held {
        let left = (identity.session.expires_at - Utc::now()).to_std().unwrap_or_default();
        let keep = left.min(self.served.max(self.ttl));
        Held { identity, is_jwt, keep, vouched: vouched.into(), round: 0.into() }
    }

    /// Microseconds since the cache was made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The sessions that were used since the last round, and then those that it asked about; no more than `most`.
    pub(crate) fn in_use(&self, before: InUse, most: usize) -> InUse {
        let Some(used) = &self.used else { return InUse::new() };
        let (round, since) = {
            let mut sessions = used.sessions();
            (used.round.fetch_add(1, Ordering::Relaxed), mem::take(&mut *sessions))
        };
        let older = before.into_iter().filter(|(_, held)| held.round.load(Ordering::Relaxed) != round);
        let all = since.into_iter().rev().chain(older);
        all.filter(|(key, held)| self.still_holds(key, held)).take(most).collect()
    }

    /// Takes note of what a source answered to a question of `asked` about something held. What was stored anew in
    /// the meantime stays: it is newer than the answer.
    /// Says what that took away.
    pub(crate) fn settle(
        &self,
        key: &Key,
        held: &Arc<Held>,
        asked: u64,
        now: Result<Cow<'_, Identity>, Reason>,
    ) -> Option<By> {
        let by = match &now {
            Ok(identity) if **identity == *held.identity => {
                held.vouched.fetch_max(asked, Ordering::Relaxed);
                return None;
            }
            Ok(identity) => By::change(&held.identity, identity),
            Err(reason) => Some(By::reason(*reason)),
        };
        self.revocations.note(&held.identity.session.id);
        let next = now.ok().map(|identity| Arc::new(self.held(Arc::new(identity.into_owned()), held.is_jwt, asked)));
        if let (Some(used), Some(next)) = (&self.used, &next) {
            used.note(key, next);
        }
        self.valid.entry_by_ref(key).and_compute_with(|entry| match (entry, next) {
            (Some(entry), Some(next)) if Arc::ptr_eq(entry.value(), held) => Op::Put(next),
            (Some(entry), None) if Arc::ptr_eq(entry.value(), held) => Op::Remove,
            _ => Op::Nop,
        });
        self.revocations.wake(&held.identity.session.id);
        by
    }

    /// Forgets every session of which this is true, after noting that the id is not to be believed any more.
    pub(crate) fn revoke(&self, id: &str, is_meant: impl Fn(&Identity) -> bool) -> u64 {
        self.revocations.note(id);
        let meant = self.valid.iter().filter(|(_, held)| is_meant(&held.identity));
        let forgotten = meant.filter(|(key, _)| self.valid.remove(&**key).is_some()).count();
        self.revocations.wake(id);
        forgotten as u64
    }

    pub(crate) fn count(&self) -> u64 {
        self.valid.entry_count()
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let now = Utc::now();
        let active = self.valid.iter().filter(|(_, held)| is_live(&held.identity, now)).count() as u64;
        let total = self.count().max(active);
        let (hits, misses) = (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed));
        Statistics {
            total_cached_sessions: total,
            active_sessions: active,
            expired_sessions: total - active,
            hits,
            misses,
            hit_ratio: if hits == 0 { 0.0 } else { hits as f64 / (hits + misses) as f64 },
            max_size: self.max_size,
            ttl_seconds: self.ttl.as_secs(),
        }
    }
}

/// Whether the session has not ended by the clock, whatever the cache's timers say.
pub(crate) fn is_live(identity: &Identity, now: DateTime<Utc>) -> bool {
    identity.session.expires_at > now
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{Session, User};

    fn identity(ends_in: TimeDelta) -> Arc<Identity> {
        let text = String::new;
        let user = User { id: text(), email: text(), name: text(), email_verified: true, image: None };
        let expires_at = Utc::now() + ends_in;
        let session = Session { id: text(), expires_at, active_organization_id: None, impersonated_by: None };
        Arc::new(Identity { user, session, workspaces: Vec::new() })
    }

    #[test]
    fn an_entry_whose_session_ended_is_counted_and_never_served() {
        let (cache, metrics) = (Cache::new(&Config::default(), false), Metrics::register("test"));
        for (key, ends_in) in [([1; 32], TimeDelta::hours(1)), ([2; 32], TimeDelta::seconds(-1))] {
            let held = cache.held(identity(ends_in), false, 0);
            cache.valid.insert(key, Arc::new(Held { keep: Duration::from_hours(1), ..held }));
        }
        cache.valid.run_pending_tasks();
        let statistics = cache.statistics();
        assert_eq!(
            (statistics.total_cached_sessions, statistics.active_sessions, statistics.expired_sessions),
            (2, 1, 1)
        );
        assert!(matches!(cache.recall(&[2; 32], &metrics), Memory::Nothing));
        assert!(matches!(cache.recall(&[1; 32], &metrics), Memory::Fresh(_)));
    }
}
