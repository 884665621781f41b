//! A backup back into a database that people use.
//!
//! It is restored into a scratch database and compared first; only then, in one transaction, does it get the name. So
//! a database of that name is always whole: the old one or the new one.

use std::thread::available_parallelism;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parlant_db_pool::SqlState;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use crate::load::Load;
use crate::progress::Reporter;
use crate::scratch::{Locale, Scratch, Server, identifier, in_database, scratch_name};
use crate::tools::find_program;
use crate::verify::{manifest, unless};
use crate::{Config, Error, Name, Store};

/// How often connections are ended that come back before the name has changed.
const EVICTIONS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Longest name of a database, in bytes.
const NAME_LIMIT: usize = 63;

/// What becomes of a database that has the name already, and something in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays; nothing is restored.
    Refuse,
    /// It is kept under a dated name.
    Swap,
    /// It is dropped, after the backup was restored and compared.
    Replace,
}

/// What shall be restored where.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The name that the database gets.
    pub database: String,
    /// What becomes of one that has it.
    pub existing: Existing,
    /// Whether those who are connected to it are thrown out.
    pub force: bool,
    /// Everything belongs to the connecting role.
    pub no_owner: bool,
    /// No GRANT is restored.
    pub no_privileges: bool,
    /// Indexes and constraints that are made at once; none: as many as this machine has cores.
    pub jobs: Option<usize>,
}

/// A backup that was restored, and compared with its manifest.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// The backup.
    pub name: Name,
    /// What it contains was committed before.
    pub created_at: DateTime<Utc>,
    /// The database.
    pub database: String,
    /// What became of the one that had the name: its name now.
    pub kept: Option<String>,
    /// What takes a swap back, statement by statement, in another database of the server.
    pub undo: Vec<String>,
    /// Tables that were compared.
    pub tables: usize,
    /// Rows that were compared.
    pub rows: u64,
    /// How long it took.
    pub duration_seconds: f64,
}

/// Restores the backup `name` of `store` to the server of `database`.
///
/// # Errors
/// [`Error::Damaged`] when the backup is not what it should be; [`Error::Refused`] when the name is taken, or when
/// somebody is connected: then the restored database stays under the name that the message tells. After every other
/// error nothing has changed.
pub async fn restore(
    config: &Config,
    database: &parlant_db_pool::Config,
    store: &Store,
    name: Name,
    request: &RestoreRequest,
    progress: &Reporter,
    interrupted: impl Future<Output = String>,
) -> Result<Restored, Error> {
    let started = Instant::now();
    progress.step("Checking", 0);
    let (manifest, _) = manifest(store, name).await?;
    let server = Server::connect(database).await?;
    server.accepts(&manifest).await?;
    let tool = find_program("pg_restore", config.bin_dir.as_deref(), manifest.pg_dump_major()).await?;
    let old = server.existing(&request.database).await?;
    if let Some(old) = &old
        && request.existing == Existing::Refuse
        && !old.is_empty
    {
        return Err(Error::Refused(format!(
            "the database {} exists and has something in it: restore under another name, or ask for --swap",
            request.database
        )));
    }
    if old.as_ref().is_some_and(|old| old.has_others) && manifest.scope.only_parlant {
        return Err(Error::Refused(format!(
            "the backup has the bridge's tables alone, and {} has others: restore it under another name, and copy the \
             tables from there",
            request.database
        )));
    }
    let locale = old.as_ref().map_or_else(
        || Locale {
            encoding: &manifest.database.encoding,
            collate: &manifest.database.collate,
            ctype: &manifest.database.ctype,
        },
        |old| Locale { encoding: &old.encoding, collate: &old.collate, ctype: &old.ctype },
    );
    progress.step("Restoring", manifest.archive.plain_size_bytes);
    let scratch = server.scratch("restoring", Utc::now(), &locale).await?;
    let mut without = Vec::new();
    without.extend((request.no_owner || manifest.options.no_owner).then_some("--no-owner"));
    without.extend(request.no_privileges.then_some("--no-privileges"));
    let load = Load {
        store,
        manifest: &manifest,
        identity: config.identity.as_deref(),
        tool: &tool,
        without: &without,
        jobs: request.jobs.or_else(|| available_parallelism().ok().map(usize::from)).unwrap_or(1),
        progress,
    };
    if let Err(error) =
        unless(interrupted, make_ready(&scratch, &load, old.is_some().then_some(&request.database))).await
    {
        // What cannot be dropped now is dropped by the next run.
        if let Err(left) = scratch.discard().await {
            tracing::warn!("A scratch database stays: {left}");
        }
        return Err(error);
    }
    progress.step("Renaming", 0);
    let kept = hand_over(scratch, request, old.is_some()).await?;
    let undo = kept.iter().flat_map(|kept| undo(&request.database, kept)).collect();
    Ok(Restored {
        name,
        created_at: manifest.created_at,
        database: request.database.clone(),
        kept,
        undo,
        tables: manifest.tables.len(),
        rows: manifest.tables.values().map(|table| table.rows).sum(),
        duration_seconds: started.elapsed().as_secs_f64(),
    })
}

/// Restores, compares, and makes ready for use.
async fn make_ready(scratch: &Scratch<'_>, load: &Load<'_>, like: Option<&String>) -> Result<(), Error> {
    scratch.fill(load).await?;
    // Without statistics its first queries would be planned for empty tables.
    load.progress.step("Analyzing", 0);
    let client = parlant_db_pool::connect(&scratch.config()).await?;
    client.batch_execute("-- analyze_restored\nanalyze").await.map_err(Error::database("analyze the tables"))?;
    drop(client);
    match like {
        Some(old) => scratch.server.copy_properties(old, &scratch.name).await,
        None => Ok(()),
    }
}

/// Gives the restored database its name; the name that the former one has now, if it is kept.
async fn hand_over(scratch: Scratch<'_>, request: &RestoreRequest, replaces: bool) -> Result<Option<String>, Error> {
    let (server, database) = (scratch.server, &request.database);
    let mut renames = Vec::new();
    let now = Utc::now();
    let aside = match request.existing {
        Existing::Swap => dated(database, "before", now),
        // Whoever comes next drops it, should this process end before it could.
        Existing::Refuse | Existing::Replace => scratch_name("restoring", now),
    };
    if replaces {
        renames.push((database.clone(), aside.clone()));
    }
    renames.push((scratch.name.clone(), database.clone()));
    if let Err(in_use) = server.rename(&renames, request.force).await? {
        let restored = dated(database, "restored", now);
        let moved = server.rename(&[(scratch.name.clone(), restored.clone())], false).await?;
        scratch.keep().await?;
        moved.map_err(|error| Error::Database { doing: "rename a database", source: error })?;
        return Err(Error::Refused(format!(
            "somebody is connected to {database} ({}): it is as it was, and the backup is restored as {restored}. End the \
             connections, then rename both; or ask for --force",
            in_use.as_db_error().and_then(|error| error.detail()).unwrap_or("unknown sessions")
        )));
    }
    scratch.keep().await?;
    if !replaces || request.existing == Existing::Swap {
        return Ok(replaces.then_some(aside));
    }
    server.drop_database(&aside).await?;
    Ok(None)
}

fn undo(database: &str, kept: &str) -> [String; 2] {
    let (name, old) = (identifier(database), identifier(kept));
    let undone = identifier(&dated(database, "undone", Utc::now()));
    [format!("ALTER DATABASE {name} RENAME TO {undone};"), format!("ALTER DATABASE {old} RENAME TO {name};")]
}

/// `sim_before_20261123_200405`, as long as names may be.
fn dated(database: &str, what: &str, now: DateTime<Utc>) -> String {
    let ending = format!("_{what}_{}", now.format("%Y%m%d_%H%M%S"));
    let mut end = database.len().min(NAME_LIMIT - ending.len());
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &database[..end])
}

/// A database that has the name already.
struct Old {
    encoding: String,
    collate: String,
    ctype: String,
    is_empty: bool,
    /// Whether it has more than the bridge's tables.
    has_others: bool,
}

impl Server {
    async fn existing(&self, database: &str) -> Result<Option<Old>, Error> {
        let sql = "-- existing_database
select pg_catalog.pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text
from pg_catalog.pg_database where datname = $1";
        let found = self.admin.query_typed(sql, &[(&database, Type::TEXT)]).await;
        let Some(row) = found.map_err(Error::database("look for the database"))?.into_iter().next() else {
            return Ok(None);
        };
        let client = parlant_db_pool::connect(&in_database(&self.config, database)).await?;
        let sql = "-- tables_in_use
select n.nspname = 'public' and starts_with(c.relname::text, 'parlant_') as ours
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind not in ('i', 'I', 't') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and not exists (
  select from pg_catalog.pg_depend d
  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
)
group by 1";
        let found = client.query_typed(sql, &[]).await.map_err(Error::database("look into the database"))?;
        let (is_empty, has_others) = (found.is_empty(), found.iter().any(|row| !row.get::<_, bool>("ours")));
        Ok(Some(Old { encoding: row.get(0), collate: row.get(1), ctype: row.get(2), is_empty, has_others }))
    }

    /// Renames databases in one transaction; the inner error is that somebody is connected to one of them. The server
    /// itself waits 5 seconds for them to go, and lets nobody in meanwhile.
    async fn rename(
        &self,
        renames: &[(String, String)],
        force: bool,
    ) -> Result<Result<(), tokio_postgres::Error>, Error> {
        let each = renames
            .iter()
            .map(|(from, to)| format!("alter database {} rename to {};\n", identifier(from), identifier(to)));
        let sql = format!("-- rename_databases\nbegin;\n{}commit", each.collect::<String>());
        for attempt in 0.. {
            if force {
                self.evict(&renames[0].0).await?;
            }
            match self.admin.batch_execute(&sql).await {
                Ok(()) => return Ok(Ok(())),
                Err(error) => {
                    let rollback = self.admin.batch_execute("-- stay_as_it_was\nrollback").await;
                    rollback.map_err(Error::database("roll back"))?;
                    match error.code() {
                        Some(&SqlState::OBJECT_IN_USE) if force && attempt < EVICTIONS => sleep(PAUSE).await,
                        Some(&SqlState::OBJECT_IN_USE) => return Ok(Err(error)),
                        _ => return Err(Error::database("rename the databases")(error)),
                    }
                }
            }
        }
        unreachable!("the loop has no end")
    }

    async fn evict(&self, database: &str) -> Result<(), Error> {
        let sql = "-- end_connections
select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
where datname = $1 and pid <> pg_catalog.pg_backend_pid()";
        let ended = self.admin.query_typed(sql, &[(&database, Type::TEXT)]).await;
        ended.map(drop).map_err(Error::database("end the connections"))
    }

    /// Gives `to` what no dump of a database contains: the owner, rights and settings of the database itself.
    async fn copy_properties(&self, from: &str, to: &str) -> Result<(), Error> {
        let sql = "-- properties_of_database
with old as (select oid, datdba, datacl from pg_catalog.pg_database where datname = $1)
select 1 as step, format('alter database %I owner to %I', $2, pg_catalog.pg_get_userbyid(datdba)) as statement from old
union all
select 2, format('revoke all on database %I from public', $2) from old where datacl is not null
union all
select 3, format('grant %s on database %I to %s%s', acl.privilege_type, $2,
    case when acl.grantee = 0 then 'public' else quote_ident(pg_catalog.pg_get_userbyid(acl.grantee)) end,
    case when acl.is_grantable then ' with grant option' else '' end)
from old, pg_catalog.aclexplode(datacl) acl
union all
select 4, format('select set_config(%1$L, %2$L, true); alter %3$s set %1$I from current',
    split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1),
    case when s.setrole = 0 then format('database %I', $2)
      else format('role %I in database %I', pg_catalog.pg_get_userbyid(s.setrole), $2) end)
from old join pg_catalog.pg_db_role_setting s on s.setdatabase = old.oid, unnest(s.setconfig) entry
order by 1";
        let failed = || Error::database("copy the properties of the old database");
        let properties = self.admin.query_typed(sql, &[(&from, Type::TEXT), (&to, Type::TEXT)]).await;
        for property in properties.map_err(failed())? {
            // One by one: settings that were made for reading the next one must not stay.
            let statement = format!("-- copy_property\nbegin; {}; commit", property.get::<_, &str>("statement"));
            if let Err(error) = self.admin.batch_execute(&statement).await {
                self.admin.batch_execute("-- stay_as_it_was\nrollback").await.map_err(failed())?;
                return Err(failed()(error));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dated_name_is_never_too_long() {
        let now = "2026-11-23T20:04:05Z".parse().unwrap();
        assert_eq!(dated("sim", "before", now), "sim_before_20261123_200405");
        let long = dated(&"ä".repeat(31), "restored", now);
        assert!(long.len() <= NAME_LIMIT && long.ends_with("ä_restored_20261123_200405"), "{long}");
    }
}
