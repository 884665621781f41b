use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, GenericClient, Row};

use crate::error::Error;
use crate::migrations::Migrations;

// The key is the ASCII of "parl" and "migr", read as two big-endian integers. It is part of every version's behaviour.
const TRY_LOCK: &str = "-- try_migration_lock
select pg_try_advisory_lock(1885434476, 1835624306)";

const HOLDER: &str = "-- migration_lock_holder
select l.pid, a.application_name, a.usename::text, a.backend_start
from pg_catalog.pg_locks l
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted
  and l.classid = 1885434476 and l.objid = 1835624306 and l.objsubid = 2
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())";

const HOLDERS_OF_TABLES: &str = "-- holders_of_tables
select l.pid, a.application_name, a.usename::text, a.backend_start
from pg_catalog.pg_locks l
join pg_catalog.pg_stat_activity a on a.pid = l.pid
join pg_catalog.pg_class c on c.oid = l.relation
where l.locktype = 'relation' and l.granted and l.pid <> pg_backend_pid()
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  and c.relnamespace = 'public'::regnamespace
group by l.pid, a.application_name, a.usename, a.backend_start
order by bool_or(starts_with(c.relname::text, 'parlant_')) desc, l.pid
limit 5";

const STILL_HELD: &str = "-- migration_lock_still_held
select exists (
  select from pg_catalog.pg_locks l
  where l.locktype = 'advisory' and l.granted and l.pid = pg_backend_pid()
    and l.classid = 1885434476 and l.objid = 1835624306 and l.objsubid = 2
)";

/// Between two tries. Trying is cheap; blocking in `pg_advisory_lock` would hold a snapshot that
/// `CREATE INDEX CONCURRENTLY` of the other run waits for: a deadlock.
const POLL: Duration = Duration::from_millis(100);

/// A session that is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The server process.
    pub pid: i32,
    /// What the session calls itself.
    pub application_name: String,
    /// Its role.
    pub user: Option<String>,
    /// When it connected; PostgreSQL shows this only to a member of its role or of `pg_read_all_stats`.
    pub since: Option<DateTime<Utc>>,
}

impl Holder {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let name: Option<String> = row.try_get(1)?;
        Ok(Self {
            pid: row.try_get(0)?,
            application_name: name.unwrap_or_default(),
            user: row.try_get(2)?,
            since: row.try_get(3)?,
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.application_name.is_empty() { "a session without a name" } else { &self.application_name };
        write!(f, "{name} (pid {}", self.pid)?;
        if let Some(user) = &self.user {
            write!(f, ", role {user}")?;
        }
        if let Some(since) = self.since {
            write!(f, ", since {}", since.to_rfc3339_opts(SecondsFormat::Secs, true))?;
        }
        f.write_str(")")
    }
}

/// Waits for this session's turn to apply `migrations`, at most `patience`, and has the lock then until it ends. False:
/// the other run did everything meanwhile.
pub(crate) async fn wait_for_turn(client: &Client, migrations: &Migrations, patience: Duration) -> Result<bool, Error> {
    let started = Instant::now();
    let mut announced = None;
    loop {
        if client.query_typed_one(TRY_LOCK, &[]).await?.try_get(0)? {
            return Ok(true);
        }
        let holder = holders(client, HOLDER).await?.into_iter().next();
        if started.elapsed() >= patience {
            if migrations.nothing_left(client).await? {
                return Ok(false);
            }
            return Err(Error::Locked { holder });
        }
        if let Some(holder) = holder
            && announced != Some(holder.pid)
        {
            tracing::info!("Waiting for the migration lock, held by {holder}");
            announced = Some(holder.pid);
        }
        sleep(POLL).await;
    }
}

/// Whether this session has the lock. A pooler that hands every transaction to another session loses it.
pub(crate) async fn still_held(client: &impl GenericClient) -> Result<bool, tokio_postgres::Error> {
    client.query_typed_one(STILL_HELD, &[]).await?.try_get(0)
}

/// The sessions that hold locks on tables of `public`, the bridge's tables first.
pub(crate) async fn holders_of_tables(client: &Client) -> Result<Vec<Holder>, tokio_postgres::Error> {
    holders(client, HOLDERS_OF_TABLES).await
}

async fn holders(client: &Client, sql: &str) -> Result<Vec<Holder>, tokio_postgres::Error> {
    client.query_typed(sql, &[]).await?.iter().map(Holder::from_row).collect()
}
