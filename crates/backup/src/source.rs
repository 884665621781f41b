//! The database that is dumped, in a snapshot that others can share.

use parlant_db_pool::{Config, Type};
use tokio_postgres::{Client, Row};

use crate::Error;
use crate::damage::list;
use crate::fingerprint::{Fingerprints, Scope, fingerprints};
use crate::manifest::Database;
use crate::scratch::in_database;

const SOURCE: &str = "-- backup_source
select d.datname::text as name, pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
  d.datcollate::text as collate, d.datctype::text as ctype, pg_catalog.pg_database_size(d.oid) as size,
  array(select e.extname::text from pg_catalog.pg_extension e where e.extname <> 'plpgsql' order by 1) as extensions,
  pg_catalog.current_setting('server_version') as version,
  pg_catalog.current_setting('server_version_num')::int4 / 10000 as major,
  case
    when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
    else pg_catalog.pg_current_wal_lsn()
  end::text as lsn,
  pg_catalog.pg_export_snapshot() as snapshot,
  pg_catalog.to_regclass('public.parlant_migrations') is not null as migrated
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()";

const MIGRATION: &str = "-- backup_migration
select max(version) from public.parlant_migrations";

// The key is the ASCII of "parl" and "bkup", read as two big-endian integers.
const TRY_LOCK: &str = "-- try_backup_lock
select pg_catalog.pg_try_advisory_xact_lock(1885434476, 1651209584)";

const HOLDER: &str = "-- backup_lock_holder
select format('%s on %s, connected as %s (server process %s)', a.application_name,
  coalesce(host(a.client_addr), 'the server itself'), a.usename, l.pid)
from pg_catalog.pg_locks l
join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.classid = 1885434476 and l.objid = 1651209584
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())";

const TABLES_THERE: &str = "-- backup_tables_there
select wanted from unnest($1::text[]) wanted where to_regclass(wanted) is not null";

// What pg_dump reads or locks, as far as the role could be in its way. `S` is a sequence, `f` a foreign table.
const OBSTACLES: &str = "-- backup_obstacles
with in_scope as (
  select c.oid, c.relkind, c.relnamespace, format('%I.%I', n.nspname, c.relname) as name
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'S', 'f') and c.relpersistence <> 't'
    and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
    and not exists (
      select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
    and (not $1 or (n.nspname = 'public' and starts_with(c.relname::text, 'parlant_')))
)
select
  array(
    select name from in_scope
    where relkind <> 'f' and not (has_table_privilege(oid, 'select') and has_schema_privilege(relnamespace, 'usage'))
    order by 1
  ) as unreadable,
  array(select name from in_scope where relkind in ('r', 'p') and row_security_active(oid) order by 1) as filtered,
  array(select name from in_scope where relkind = 'f' order by 1) as foreign_tables,
  array(select unnest($2::text[]) except select name from in_scope order by 1) as unknown,
  array(
    select format('%s refers to %s', r.name, d.name)
    from pg_catalog.pg_constraint k
    join in_scope r on r.oid = k.conrelid
    join in_scope d on d.oid = k.confrelid
    where k.contype = 'f' and d.name = any ($2) and r.name <> all ($2)
    order by 1
  ) as dangling,
  (select coalesce(sum(pg_catalog.pg_table_size(oid)), 0)::int8 from in_scope
   where relkind = 'r' and name <> all ($2)) as bytes";

/// The tables of Sim that hold nothing but what admits somebody for some time: who is missing there signs in again.
const SESSION_TABLES: [&str; 2] = ["public.session", "public.verification"];

/// One server, one state of its database, for as long as this exists.
pub(crate) struct Source {
    /// Holds the snapshot, and the lock that keeps a second backup of the database away.
    _snapshot_client: Client,
    /// Reads in the snapshot.
    reader: Client,
    /// How to reach the same server.
    pub(crate) config: Config,
    pub(crate) snapshot: String,
    pub(crate) lsn: String,
    pub(crate) server_version: String,
    pub(crate) server_major: u32,
    pub(crate) migration_version: Option<i32>,
    pub(crate) database: Database,
    pub(crate) scope: Scope,
    /// Bytes of the tables in scope.
    pub(crate) table_bytes: u64,
    /// What the backup will not have.
    pub(crate) warnings: Vec<String>,
}

impl Source {
    /// Connects to the first server of `config` that answers, and holds its present state still.
    ///
    /// # Errors
    /// [`Error::Locked`] while another backup of the database is being made; [`Error::Refused`] when the role may not
    /// read all that is in scope.
    pub(crate) async fn open(config: &Config, mut scope: Scope, without_sessions: bool) -> Result<Self, Error> {
        let (client, config) = connect(config, None).await?;
        begin(&client, None).await?;
        if !client.query_typed_one(TRY_LOCK, &[]).await.and_then(|row| row.try_get(0)).map_err(refused)? {
            let holder = client.query_typed(HOLDER, &[]).await.map_err(refused)?;
            let holder = holder.first().map_or_else(|| "a backup that just ended".to_owned(), |row| row.get(0));
            return Err(Error::Locked(holder));
        }
        let row = client.query_typed_one(SOURCE, &[]).await.map_err(refused)?;
        if without_sessions {
            let there = client.query_typed(TABLES_THERE, &[(&SESSION_TABLES.as_slice(), Type::TEXT_ARRAY)]).await;
            scope.without_data.extend(there.map_err(refused)?.iter().map(|row| row.get::<_, String>(0)));
            scope.without_data.sort_unstable();
            scope.without_data.dedup();
        }
        let (table_bytes, warnings) = obstacles(&client, &scope).await?;
        let migrated: bool = row.get("migrated");
        let migration_version =
            if migrated { client.query_typed_one(MIGRATION, &[]).await.map_err(refused)?.get(0) } else { None };
        let snapshot: String = row.get("snapshot");
        let reader = parlant_db_pool::connect(&config).await?;
        begin(&reader, Some(&snapshot)).await?;
        Ok(Self {
            _snapshot_client: client,
            reader,
            config,
            snapshot,
            lsn: row.get("lsn"),
            server_version: row.get("version"),
            server_major: row.get::<_, i32>("major").unsigned_abs(),
            migration_version,
            database: database(&row),
            scope,
            table_bytes,
            warnings,
        })
    }

    /// The contents of the tables, in the snapshot.
    pub(crate) async fn fingerprints(&self) -> Result<Fingerprints, Error> {
        fingerprints(&self.reader, &self.scope).await
    }
}

fn refused(source: tokio_postgres::Error) -> Error {
    Error::Database { doing: "prepare a backup", source }
}

/// The first server that can be had, and how to reach it again; in `database`, if that shall be another one.
pub(crate) async fn connect(config: &Config, database: Option<&str>) -> Result<(Client, Config), Error> {
    let mut failure = None;
    for server in config.servers().map_err(parlant_db_pool::Error::from)? {
        let server = database.map_or_else(|| server.clone(), |name| in_database(&server, name));
        match parlant_db_pool::connect(&server).await {
            Ok(client) => return Ok((client, server)),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or(parlant_db_pool::Error::ConnectTimeout).into())
}

/// A transaction that sees one state to its end, and that nothing ends before. It leaves the other cores to the
/// people who use the database.
async fn begin(client: &Client, snapshot: Option<&str>) -> Result<(), Error> {
    let import = snapshot.map_or_else(String::new, |id| format!("set transaction snapshot '{id}';"));
    let sql = format!(
        "begin isolation level repeatable read, read only;
{import}
set local lock_timeout = '60s';
set local max_parallel_workers_per_gather = 0;
select pg_catalog.set_config(name, '0', true) from pg_catalog.pg_settings
where name in ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
    );
    client.batch_execute(&sql).await.map_err(refused)
}

fn database(row: &Row) -> Database {
    Database {
        name: row.get("name"),
        encoding: row.get("encoding"),
        collate: row.get("collate"),
        ctype: row.get("ctype"),
        size_bytes: row.get::<_, i64>("size").unsigned_abs(),
        extensions: row.get("extensions"),
    }
}

/// Refuses what would fail later or leave something out unsaid. Tells the size of the tables, and what no dump has.
async fn obstacles(client: &Client, scope: &Scope) -> Result<(u64, Vec<String>), Error> {
    let parameters: [(&(dyn parlant_db_pool::ToSql + Sync), Type); 2] =
        [(&scope.only_parlant, Type::BOOL), (&scope.without_data, Type::TEXT_ARRAY)];
    let row = client.query_typed_one(OBSTACLES, &parameters).await.map_err(refused)?;
    for (column, problem) in [
        ("unreadable", "the role may not read"),
        ("filtered", "row security hides rows from the role in"),
        ("unknown", "there is nothing to leave out of"),
        ("dangling", "a restore would not be possible without these rows:"),
    ] {
        let names: Vec<String> = row.get(column);
        if !names.is_empty() {
            return Err(Error::Refused(format!("{problem} {}", list(&names))));
        }
    }
    let foreign: Vec<String> = row.get("foreign_tables");
    let warning = (!foreign.is_empty()).then(|| format!("rows of foreign tables are not in it: {}", list(&foreign)));
    Ok((row.get::<_, i64>("bytes").unsigned_abs(), warning.into_iter().collect()))
}
