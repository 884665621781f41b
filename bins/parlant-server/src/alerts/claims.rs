//! Which of several servers tells what: an advisory lock of PostgreSQL for each alert, held by the first to tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use anyhow::Context as _;
use parlant_alerting::{Claims, Holding, Key};
use parlant_db_pool::{self as db_pool, Client, ToSql, Type};
use tokio::time::timeout;

// The first key is the ASCII of "alrt" as a big-endian integer. It is part of every version's behaviour.
const TAKE: &str = "-- take_alerts
select name, pg_try_advisory_lock(1634497140, hashtext(name)) from unnest($1::text[]) as name";
const RELEASE: &str = "-- release_alerts
select pg_advisory_unlock(1634497140, hashtext(name)) from unnest($1::text[]) as name";

/// How long PostgreSQL may take, twice at most: a session that was lost is made anew. Nothing is told meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Locks in a session of their own, which exists while there is something to tell: if this process dies, so do they.
pub(crate) struct AdvisoryClaims {
    database: db_pool::Config,
    session: Option<Session>,
    /// What others had when they could last be asked.
    elsewhere: BTreeSet<Key>,
    failing: bool,
}

struct Session {
    client: Client,
    /// By their names as locks.
    held: BTreeSet<String>,
}

impl AdvisoryClaims {
    pub(crate) fn new(database: db_pool::Config) -> Self {
        Self { database, session: None, elsewhere: BTreeSet::new(), failing: false }
    }

    /// Asks in the session that there is, or in a new one where there is none any more.
    async fn ask(&mut self, wanted: &[Key]) -> anyhow::Result<BTreeSet<Key>> {
        let wanted: BTreeMap<_, _> = wanted.iter().map(|key| (key.to_string(), key)).collect();
        let keys = |names: Vec<String>| names.iter().map(|name| wanted[name].clone()).collect();
        // Dropped in the middle, it would not know what it holds.
        if let Some(mut session) = self.session.take()
            && let Ok(Ok(elsewhere)) = timeout(PATIENCE, session.hold(&wanted)).await
        {
            self.session = Some(session);
            return Ok(keys(elsewhere));
        }
        let ask = async {
            let client = db_pool::connect(&self.database).await?;
            let mut session = Session { client, held: BTreeSet::new() };
            let elsewhere = session.hold(&wanted).await?;
            anyhow::Ok((session, elsewhere))
        };
        let (session, elsewhere) = timeout(PATIENCE, ask).await.context("no answer in time")??;
        self.session = Some(session);
        Ok(keys(elsewhere))
    }
}

impl Claims for AdvisoryClaims {
    /// While the database cannot be asked, what others had stays theirs and all else is ours.
    fn hold<'a>(&'a mut self, wanted: &'a [Key]) -> Holding<'a> {
        Box::pin(async {
            self.elsewhere.retain(|key| wanted.contains(key));
            if wanted.is_empty() {
                (self.session, self.failing) = (None, false);
                return BTreeSet::new();
            }
            match self.ask(wanted).await {
                Ok(elsewhere) => (self.elsewhere, self.failing) = (elsewhere, false),
                Err(error) => {
                    if !mem::replace(&mut self.failing, true) {
                        tracing::warn!(
                            "The database does not say what other servers tell, this one tells all: {error:#}"
                        );
                    }
                }
            }
            self.elsewhere.clone()
        })
    }
}

impl Session {
    /// Which of `wanted` another session has. All else of it is locked, and nothing else.
    async fn hold(&mut self, wanted: &BTreeMap<String, &Key>) -> anyhow::Result<Vec<String>> {
        let over: Vec<_> = self.held.iter().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        let new: Vec<_> = wanted.keys().filter(|name| !self.held.contains(*name)).cloned().collect();
        let names = |names| [(names, Type::TEXT_ARRAY)];
        self.client.query_typed(RELEASE, &names(&over as &(dyn ToSql + Sync))).await?;
        self.held.retain(|name| !over.contains(name));
        let mut elsewhere = Vec::new();
        for row in self.client.query_typed(TAKE, &names(&new as &(dyn ToSql + Sync))).await? {
            let name = row.try_get(0)?;
            if row.try_get(1)? {
                self.held.insert(name);
            } else {
                elsewhere.push(name);
            }
        }
        Ok(elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use parlant_alerting::Severity;
    use parlant_test_support::{ChaosProxy, database};
    use tokio::time::Instant;

    use super::*;

    const DEADLINE: Duration = Duration::from_mins(1);

    fn keys(names: &str) -> Vec<Key> {
        let key = |name: &str| Key { alert: name.to_owned(), severity: Severity::Warning, labels: Vec::new() };
        names.split_whitespace().map(key).collect()
    }

    fn claims(url: &str) -> AdvisoryClaims {
        AdvisoryClaims::new(db_pool::Config::new(url))
    }

    /// The names of what another one tells.
    async fn hold(claims: &mut AdvisoryClaims, wanted: &str) -> String {
        let elsewhere = claims.hold(&keys(wanted)).await;
        elsewhere.into_iter().map(|key| key.alert).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn what_one_server_tells_another_does_not_until_the_first_lets_go_or_dies() {
        let (database, other) = (database().await, parlant_test_support::database().await);
        let (mut first, mut second) = (claims(&database.url()), claims(&database.url()));
        assert_eq!(hold(&mut first, "a b").await, "");
        assert_eq!(hold(&mut first, "a b").await, "", "once more is no more");
        assert_eq!(hold(&mut second, "b c").await, "b");
        assert_eq!(hold(&mut first, "a c").await, "c");
        assert_eq!(hold(&mut second, "a b c").await, "a", "b is free");
        assert_eq!(hold(&mut claims(&other.url()), "a").await, "", "another deployment");
        // Its session ends with it; PostgreSQL may notice a moment later.
        drop(first);
        let deadline = Instant::now() + DEADLINE;
        while !hold(&mut second, "a b c").await.is_empty() {
            assert!(Instant::now() < deadline, "a is still held");
        }
    }

    #[tokio::test]
    async fn who_has_nothing_to_tell_has_no_session() {
        let database = database().await;
        let mut claims = claims(&database.url());
        let others =
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        let watcher = database.superuser().await;
        let sessions = async || -> i64 { watcher.query_one(others, &[]).await.unwrap().get(0) };
        hold(&mut claims, "a").await;
        assert_eq!(sessions().await, 1);
        hold(&mut claims, "").await;
        let deadline = Instant::now() + DEADLINE;
        while sessions().await > 0 {
            assert!(Instant::now() < deadline, "the session is still there");
        }
    }

    #[tokio::test]
    async fn without_the_database_everything_new_is_ours_and_what_others_had_stays_theirs() {
        let database = database().await;
        let proxy = ChaosProxy::start(database.address()).await;
        let (mut first, mut second) = (claims(&database.url()), claims(&database.url_through(proxy.address())));
        hold(&mut first, "theirs").await;
        assert_eq!(hold(&mut second, "theirs ours").await, "theirs");
        proxy.refuse().await;
        proxy.cut();
        assert_eq!(hold(&mut second, "theirs ours new").await, "theirs");
        proxy.restore().await;
        hold(&mut first, "theirs new").await;
        assert_eq!(hold(&mut second, "theirs ours new").await, "new theirs");
        // One that hangs is no better than none, and costs a bounded time.
        proxy.hang();
        let asked = Instant::now();
        assert_eq!(hold(&mut second, "theirs ours newer").await, "theirs");
        assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    }
}
