use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use crate::migrations::HISTORY;

const RELATIONS: &str = "-- relations
select c.oid, c.relname::text, c.relkind::text, coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)
from pg_catalog.pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'i', 'I', 'S', 'v', 'm')";

const LOCKS: &str = "-- locks
select l.relation, l.mode, l.granted
from pg_catalog.pg_locks l
where l.pid = $1";

const OWN_PID: &str = "-- own_pid
select pg_backend_pid()";

/// How often to look at a statement that runs outside of a transaction, until it is seen waiting.
const LOOK: Duration = Duration::from_millis(10);

/// PostgreSQL's table locks, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "these are PostgreSQL's own names")]
pub enum LockMode {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

/// The modes in their order, as `pg_locks` and as `LOCK TABLE` call them.
const MODES: [(LockMode, &str, &str); 8] = [
    (LockMode::AccessShare, "AccessShareLock", "ACCESS SHARE"),
    (LockMode::RowShare, "RowShareLock", "ROW SHARE"),
    (LockMode::RowExclusive, "RowExclusiveLock", "ROW EXCLUSIVE"),
    (LockMode::ShareUpdateExclusive, "ShareUpdateExclusiveLock", "SHARE UPDATE EXCLUSIVE"),
    (LockMode::Share, "ShareLock", "SHARE"),
    (LockMode::ShareRowExclusive, "ShareRowExclusiveLock", "SHARE ROW EXCLUSIVE"),
    (LockMode::Exclusive, "ExclusiveLock", "EXCLUSIVE"),
    (LockMode::AccessExclusive, "AccessExclusiveLock", "ACCESS EXCLUSIVE"),
];

impl LockMode {
    /// As `LOCK TABLE` spells it.
    #[must_use]
    pub fn as_sql(self) -> &'static str {
        MODES[self as usize].2
    }
}

/// The strongest lock that a file took on a table, index, sequence or view of `public`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelationLock {
    /// The relation's name.
    pub relation: String,
    /// Whether it is a table; otherwise an index, a sequence or a view.
    pub table: bool,
    /// The strongest mode.
    pub mode: LockMode,
    /// Whether the relation was there before the file, so that somebody may be using it.
    pub existed: bool,
}

/// What one file was seen to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// By relation.
    pub(crate) locks: Vec<RelationLock>,
    /// Tables that were there before and are stored in a new file now: every row was written again.
    pub(crate) rewritten: Vec<String>,
    /// False if the file ended before it could be looked at.
    pub(crate) complete: bool,
}

#[derive(Debug, Clone)]
struct Relation {
    name: String,
    table: bool,
    filenode: u32,
}

type Relations = BTreeMap<u32, Relation>;

/// A second session in the scratch database that sees which locks the first one takes.
pub(crate) struct Witness {
    client: Client,
    /// The session that it watches.
    pid: i32,
    before: Relations,
    locks: BTreeMap<u32, LockMode>,
    complete: bool,
    /// One for each file that ran.
    pub(crate) seen: Vec<Seen>,
}

impl Witness {
    /// `client` watches what `watched` does.
    pub(crate) async fn new(client: Client, watched: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            client,
            pid: watched.query_typed_one(OWN_PID, &[]).await?.try_get(0)?,
            before: Relations::new(),
            locks: BTreeMap::new(),
            complete: false,
            seen: Vec::new(),
        })
    }

    pub(crate) async fn look_before(&mut self) -> Result<(), tokio_postgres::Error> {
        self.before = relations(&self.client).await?;
        self.locks.clear();
        self.complete = false;
        Ok(())
    }

    /// Just before COMMIT, when every lock of the file is still held.
    pub(crate) async fn look_inside(&mut self, watched: &impl GenericClient) -> Result<(), tokio_postgres::Error> {
        look(watched, self.pid, &mut self.locks).await?;
        self.complete = true;
        Ok(())
    }

    /// Watches a statement that runs outside of a transaction. This session holds ROW EXCLUSIVE on every table, as
    /// a writer would, so a statement like CREATE INDEX CONCURRENTLY has to wait for it with its locks in its
    /// hands; as soon as it is seen waiting, this session steps aside. The inner result is the statement's own.
    pub(crate) async fn look_from_outside(
        &mut self,
        statement: impl Future<Output = Result<(), tokio_postgres::Error>>,
    ) -> Result<Result<(), tokio_postgres::Error>, tokio_postgres::Error> {
        let tables: Vec<String> = self
            .before
            .values()
            .filter(|relation| relation.table)
            .map(|relation| format!("public.\"{}\"", relation.name.replace('"', "\"\"")))
            .collect();
        let mut hold = String::from("-- look_from_outside\nbegin");
        if !tables.is_empty() {
            hold.push_str("; lock table only ");
            hold.push_str(&tables.join(", only "));
            hold.push_str(" in row exclusive mode");
        }
        self.client.batch_execute(&hold).await?;
        let mut statement = pin!(statement);
        let early = loop {
            tokio::select! {
                result = &mut statement => break Some(result),
                () = sleep(LOOK) => {}
            }
            if look(&self.client, self.pid, &mut self.locks).await? {
                self.complete = true;
                break None;
            }
        };
        self.client.batch_execute("-- look_from_outside\nrollback").await?;
        Ok(match early {
            Some(result) => result,
            None => statement.await,
        })
    }

    pub(crate) async fn look_after(&mut self) -> Result<(), tokio_postgres::Error> {
        let after = relations(&self.client).await?;
        let mut locks = Vec::new();
        for (oid, mode) in &self.locks {
            let existed = self.before.get(oid);
            if let Some(relation) = existed.or_else(|| after.get(oid))
                && relation.name != HISTORY
            {
                locks.push(RelationLock {
                    relation: relation.name.clone(),
                    table: relation.table,
                    mode: *mode,
                    existed: existed.is_some(),
                });
            }
        }
        locks.sort_by(|a, b| (b.mode, &a.relation).cmp(&(a.mode, &b.relation)));
        let rewritten = self.before.iter().filter_map(|(oid, relation)| {
            let now = after.get(oid)?;
            (relation.table && now.filenode != relation.filenode).then(|| relation.name.clone())
        });
        let rewritten = rewritten.collect();
        self.seen.push(Seen { locks, rewritten, complete: self.complete });
        Ok(())
    }
}

async fn relations(client: &Client) -> Result<Relations, tokio_postgres::Error> {
    let mut relations = Relations::new();
    for row in client.query_typed(RELATIONS, &[]).await? {
        let kind: &str = row.try_get(2)?;
        let relation = Relation { name: row.try_get(1)?, table: matches!(kind, "r" | "p"), filenode: row.try_get(3)? };
        relations.insert(row.try_get(0)?, relation);
    }
    Ok(relations)
}

/// Keeps the strongest lock of a session on each relation, held or asked for; tells whether it waits for any lock.
async fn look(
    client: &impl GenericClient,
    pid: i32,
    locks: &mut BTreeMap<u32, LockMode>,
) -> Result<bool, tokio_postgres::Error> {
    let mut waiting = false;
    for row in client.query_typed(LOCKS, &[(&pid, Type::INT4)]).await? {
        waiting |= !row.try_get::<_, bool>(2)?;
        let (relation, name): (Option<u32>, &str) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(relation) = relation
            && let Some((mode, ..)) = MODES.iter().find(|(_, in_pg_locks, _)| *in_pg_locks == name)
        {
            let strongest = locks.entry(relation).or_insert(*mode);
            *strongest = (*strongest).max(*mode);
        }
    }
    Ok(waiting)
}
