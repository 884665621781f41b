//! Asks a source about the sessions in use, again and again, so that what ends in Sim ends here.
//!
//! A row of Sim's can be deleted without a trace, and nothing tells a reader of five of its tables that one of them
//! changed. So the look-up itself is repeated, for many sessions in one statement. That costs the database about as
//! much for each of them as any look-up does, so a round is bounded: it takes as many of the sessions that were used
//! last as can be asked about in a [`SHARE`] of the interval. A session beyond that loses nothing but speed: it is
//! looked up when it is used again.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, timeout};

use crate::bridge::Inner;
use crate::cache::{Held, InUse, Key};
use crate::{Cause, Found, Identity, Person, Reason, Recheck, Refusal};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// One in so many parts of the interval may be spent on asking.
const SHARE: u32 = 10;
const LEAST: usize = 100;
const FIRST: usize = 1000;
const MOST: usize = 10_000;

/// Revalidates until the bridge is gone.
pub(crate) async fn run(bridge: Weak<Inner>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut most, mut in_use) = (FIRST, InUse::new());
    loop {
        ticks.tick().await;
        let Some(bridge) = bridge.upgrade() else { return };
        in_use = bridge.cache.in_use(in_use, most);
        let start = Instant::now();
        bridge.revalidate(&in_use).await;
        if start.elapsed() > interval / SHARE {
            most = (most / 2).max(LEAST);
        } else if in_use.len() == most {
            most = (most + most / 4).min(MOST);
        }
    }
}

impl Inner {
    async fn revalidate(&self, held: &[(Key, Arc<Held>)]) {
        let Some(recheck) = self.source.recheck().filter(|_| !held.is_empty()) else {
            return;
        };
        let ids = |is_jwt, id: fn(&Identity) -> &str| -> Vec<&str> {
            let of_kind = held.iter().filter(|(_, held)| held.is_jwt == is_jwt);
            of_kind.map(|(_, held)| id(&held.identity)).collect::<HashSet<_>>().into_iter().collect()
        };
        let sessions = ids(false, |identity| &identity.session.id);
        let users = ids(true, |identity| &identity.user.id);
        let (start, asked) = (Instant::now(), self.cache.now());
        let answer = timeout(PATIENCE, ask(recheck, &sessions, &users)).await;
        let answer = answer.unwrap_or_else(|_| Err(Cause::new("the source takes long").into()));
        self.breaker.learn(start, &answer);
        let Ok((sessions, users)) = answer else {
            return;
        };
        for (key, held) in held {
            let Identity { user, session, .. } = &*held.identity;
            let now = if held.is_jwt {
                found(&users, &user.id, Reason::UnknownUser).map(|person| {
                    let Person { user, workspaces } = person.clone();
                    Cow::Owned(Identity { user, session: session.clone(), workspaces })
                })
            } else {
                found(&sessions, &session.id, Reason::UnknownSession).map(Cow::Borrowed)
            };
            if let Some(by) = self.cache.settle(key, held, asked, now) {
                self.metrics.revoked(by);
            }
        }
        self.metrics.cached_sessions.set(self.cache.count() as f64);
    }
}

async fn ask(
    recheck: &dyn Recheck,
    sessions: &[&str],
    users: &[&str],
) -> Result<(Found<Identity>, Found<Person>), Refusal> {
    let sessions = if sessions.is_empty() { Found::new() } else { recheck.sessions(sessions).await? };
    let users = if users.is_empty() { Found::new() } else { recheck.users(users).await? };
    Ok((sessions, users))
}

fn found<'a, T>(found: &'a Found<T>, id: &str, missing: Reason) -> Result<&'a T, Reason> {
    found.get(id).map_or(Err(missing), |found| found.as_ref().map_err(|reason| *reason))
}
