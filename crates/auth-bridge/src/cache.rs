//! Remembers verdicts, so that a source is asked once per session and not once per request.
//!
//! Two stores, because they must not compete: valid sessions, each until the earliest of the TTL and its own end, and
//! refusals, briefly. However much garbage is presented, it pushes out only other garbage. An answer that could not
//! be had is shared by those who wait for it and then forgotten.
//!
//! Everything that takes a session out early (revocation) or keeps one longer (serving stale while the source is
//! down) belongs into [`Cache::get_or_load`]: a load knows when it began, and nothing else fills the stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use moka::Expiry;
use serde::Serialize;

use crate::metrics::Metrics;
use crate::{Config, Identity, Reason, Refusal};

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

#[derive(Clone)]
struct Entry {
    identity: Arc<Identity>,
    keep: Duration,
}

/// Lets every entry end when its own time is up.
struct KeepEach;

impl Expiry<Key, Entry> for KeepEach {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.keep)
    }

    fn expire_after_update(&self, _: &Key, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.keep)
    }
}

pub(crate) struct Cache {
    valid: moka::future::Cache<Key, Entry>,
    refused: moka::future::Cache<Key, Reason>,
    enabled: bool,
    ttl: Duration,
    max_size: u64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Cache {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            valid: moka::future::Cache::builder().max_capacity(config.cache_max_size).expire_after(KeepEach).build(),
            refused: moka::future::Cache::builder()
                .max_capacity(config.cache_max_size)
                .time_to_live(config.negative_ttl)
                .build(),
            enabled: config.caching,
            ttl: config.cache_ttl,
            max_size: if config.caching { config.cache_max_size } else { 0 },
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The remembered verdict, or `load`'s, of which only one runs per key at a time. A caller that goes away does not
    /// take the others' load with it: one of them starts over.
    pub(crate) async fn get_or_load(
        &self,
        key: Key,
        metrics: &Metrics,
        load: impl Future<Output = Result<Arc<Identity>, Refusal>>,
    ) -> Result<Arc<Identity>, Refusal> {
        if !self.enabled {
            return load.await;
        }
        if let Some(entry) = self.valid.get(&key).await {
            if is_live(&entry.identity, Utc::now()) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                metrics.hits.increment(1);
                return Ok(entry.identity);
            }
            // The wall clock was set forward: the entry's timer knows nothing of it.
            self.valid.invalidate(&key).await;
        }
        if let Some(reason) = self.refused.get(&key).await {
            self.hits.fetch_add(1, Ordering::Relaxed);
            metrics.negatives.increment(1);
            return Err(Refusal::Invalid(reason));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        metrics.misses.increment(1);
        let entry = self.valid.try_get_with(key, self.load(key, load)).await;
        metrics.cached_sessions.set(self.valid.entry_count() as f64);
        match entry {
            Ok(entry) => Ok(entry.identity),
            Err(refusal) => Err(Refusal::clone(&refusal)),
        }
    }

    async fn load(
        &self,
        key: Key,
        load: impl Future<Output = Result<Arc<Identity>, Refusal>>,
    ) -> Result<Entry, Refusal> {
        match load.await {
            Ok(identity) => {
                let left = (identity.session.expires_at - Utc::now()).to_std().unwrap_or_default();
                Ok(Entry { keep: left.min(self.ttl), identity })
            }
            Err(Refusal::Invalid(reason)) => {
                self.refused.insert(key, reason).await;
                Err(Refusal::Invalid(reason))
            }
            Err(unknown) => Err(unknown),
        }
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let now = Utc::now();
        let active = self.valid.iter().filter(|(_, entry)| is_live(&entry.identity, now)).count() as u64;
        let total = self.valid.entry_count().max(active);
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

    fn entry(ends_in: TimeDelta) -> Entry {
        let text = String::new;
        let user = User { id: text(), email: text(), name: text(), email_verified: true, image: None };
        let expires_at = Utc::now() + ends_in;
        let session = Session { id: text(), expires_at, active_organization_id: None, impersonated_by: None };
        let identity = Arc::new(Identity { user, session, workspaces: Vec::new() });
        Entry { identity, keep: Duration::from_hours(1) }
    }

    #[tokio::test]
    async fn an_entry_whose_session_ended_is_counted_and_never_served() {
        let (cache, metrics) = (Cache::new(&Config::default()), Metrics::register("test"));
        cache.valid.insert([1; 32], entry(TimeDelta::hours(1))).await;
        cache.valid.insert([2; 32], entry(TimeDelta::seconds(-1))).await;
        cache.valid.run_pending_tasks().await;
        let statistics = cache.statistics();
        assert_eq!(
            (statistics.total_cached_sessions, statistics.active_sessions, statistics.expired_sessions),
            (2, 1, 1)
        );

        let served = cache.get_or_load([2; 32], &metrics, async { Err(Reason::Expired.into()) }).await;
        assert!(matches!(served, Err(Refusal::Invalid(Reason::Expired))));
        let served = cache.get_or_load([1; 32], &metrics, async { Err(Reason::Expired.into()) }).await;
        assert!(served.is_ok());
    }
}
