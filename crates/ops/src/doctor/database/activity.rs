//! Who is in whose way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlant_db_pool::{Client, Row};
use tokio::time::sleep;

use crate::doctor::kinds::{DATABASE_LOCKED, DATABASE_LONG_TRANSACTION, DATABASE_SLOW_STATEMENTS};
use crate::doctor::sheet::Sheet;
use crate::doctor::shell;

/// Who waits for how long, and for whom.
const WAITING: &str = "-- doctor_waiting
select l.pid, a.application_name, extract(epoch from clock_timestamp() - l.waitstart)::float8 as seconds,
    coalesce(c.relname::text, l.locktype) as what, pg_blocking_pids(l.pid) as by
from pg_locks l
join pg_stat_activity a using (pid)
left join pg_class c on c.oid = l.relation and a.datname = current_database()
where not l.granted and l.waitstart < clock_timestamp() - interval '2 seconds' and a.datname = current_database()
order by l.waitstart
limit 20";

/// Who keeps everybody from one of our tables, whether or not somebody waits just now.
const HOLDERS: &str = "-- doctor_holders
select l.pid, c.relname::text as what
from pg_locks l
join pg_class c on c.oid = l.relation
join pg_database d on d.oid = l.database
where l.granted and l.mode = 'AccessExclusiveLock' and l.pid <> pg_backend_pid() and d.datname = current_database()
    and c.relkind in ('r', 'p') and starts_with(c.relname::text, 'parlant_')
limit 20";

/// Sessions by what may be seen of them: of another role's, only that they are there.
const SESSIONS: &str = "-- doctor_sessions
select pid, usename::text as role, application_name, state, backend_type,
    extract(epoch from clock_timestamp() - xact_start)::float8 as seconds,
    extract(epoch from clock_timestamp() - state_change)::float8 as idle_seconds,
    usename is not null and coalesce(query = '<insufficient privilege>', false) as hidden
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()";

/// How long between two looks at who holds a lock: `ALTER TABLE` takes it for a moment.
const BETWEEN: Duration = Duration::from_secs(2);
/// A transaction that is older is long, in seconds; half an hour of a dump is none of ours.
const LONG: f64 = 300.0;
/// One that waits for its own client so long was forgotten.
const FORGOTTEN: f64 = 60.0;

pub(super) async fn look(client: &Client) -> Result<Sheet, tokio_postgres::Error> {
    let (waiting, holders, sessions, statements) = tokio::join!(
        client.query_typed(WAITING, &[]),
        client.query_typed(HOLDERS, &[]),
        client.query_typed(SESSIONS, &[]),
        slow_statements(client),
    );
    let mut sheet = Sheet::default();
    sheet.append(statements?);
    let sessions: BTreeMap<i32, Session> =
        sessions?.iter().map(Session::read).map(|read| read.map(|one| (one.pid, one))).collect::<Result<_, _>>()?;
    locks(client, &mut sheet, &sessions, waiting?, holders?).await?;
    let long: Vec<_> = sessions.values().filter(|session| session.is_long()).collect();
    if !long.is_empty() {
        let pids: Vec<_> = long.iter().map(|session| session.pid.to_string()).collect();
        sheet.find(
            DATABASE_LONG_TRANSACTION
                .warning("A transaction has been open for long")
                .evidences(long.iter().map(|session| session.told()))
                .mend(terminate(&pids)),
        );
    }
    if sessions.values().any(|session| session.hidden) {
        sheet.skip(
            "database.long_transaction",
            "of other roles' sessions: to see them, have a superuser run `grant pg_read_all_stats to parlant_app`",
        );
    }
    Ok(sheet)
}

async fn locks(
    client: &Client,
    sheet: &mut Sheet,
    sessions: &BTreeMap<i32, Session>,
    waiting: Vec<Row>,
    holders: Vec<Row>,
) -> Result<(), tokio_postgres::Error> {
    let mut evidence = Vec::new();
    let mut blockers = BTreeSet::new();
    for row in waiting {
        let (pid, what, seconds): (i32, String, f64) =
            (row.try_get("pid")?, row.try_get("what")?, row.try_get("seconds")?);
        let by: Vec<i32> = row.try_get("by")?;
        evidence.push(format!(
            "session {pid} ({}) has waited {seconds:.0} s for {what}, which session {} holds",
            row.try_get::<_, Option<String>>("application_name")?.unwrap_or_default(),
            by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        ));
        blockers.extend(by);
    }
    let holders = pairs(&holders)?;
    if !holders.is_empty() {
        sleep(BETWEEN).await;
        let still = pairs(&client.query_typed(HOLDERS, &[]).await?)?;
        for (pid, table) in holders.into_iter().filter(|holder| still.contains(holder)) {
            evidence.push(format!("session {pid} holds ACCESS EXCLUSIVE on {table}"));
            blockers.insert(pid);
        }
    }
    // A prepared transaction, which has no session, counts as 0.
    let roots: Vec<_> = blockers.into_iter().filter(|pid| *pid > 0).collect();
    if roots.is_empty() {
        return Ok(());
    }
    let told = roots.iter().filter_map(|pid| sessions.get(pid)).map(Session::told);
    let pids: Vec<_> = roots.iter().map(ToString::to_string).collect();
    sheet.find(
        DATABASE_LOCKED
            .broken("Statements wait for a lock that somebody keeps")
            .evidences(evidence)
            .evidences(told)
            .mend(terminate(&pids)),
    );
    Ok(())
}

fn pairs(rows: &[Row]) -> Result<BTreeSet<(i32, String)>, tokio_postgres::Error> {
    rows.iter().map(|row| Ok((row.try_get("pid")?, row.try_get("what")?))).collect()
}

fn terminate(pids: &[String]) -> String {
    shell::psql(&format!("select pid, pg_terminate_backend(pid) from unnest('{{{}}}'::int[]) pid", pids.join(",")))
        + "   # rolls back what it did"
}

#[derive(Debug)]
struct Session {
    pid: i32,
    role: Option<String>,
    application: Option<String>,
    state: Option<String>,
    client: bool,
    seconds: Option<f64>,
    idle_seconds: Option<f64>,
    hidden: bool,
}

impl Session {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            pid: row.try_get("pid")?,
            role: row.try_get("role")?,
            application: row.try_get("application_name")?,
            state: row.try_get("state")?,
            client: row.try_get::<_, Option<&str>>("backend_type")? == Some("client backend"),
            seconds: row.try_get("seconds")?,
            idle_seconds: row.try_get("idle_seconds")?,
            hidden: row.try_get("hidden")?,
        })
    }

    fn is_long(&self) -> bool {
        let forgotten = self.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"))
            && self.idle_seconds.is_some_and(|seconds| seconds > FORGOTTEN);
        self.client && (forgotten || self.seconds.is_some_and(|seconds| seconds > LONG))
    }

    fn told(&self) -> String {
        let since = match self.seconds {
            Some(seconds) => format!(", in a transaction for {seconds:.0} s"),
            None => String::new(),
        };
        format!(
            "session {} is {} ({}), {}{since}",
            self.pid,
            self.role.as_deref().unwrap_or("of the system"),
            self.application.as_deref().filter(|name| !name.is_empty()).unwrap_or("no application name"),
            self.state.as_deref().unwrap_or("whose state this role may not see"),
        )
    }
}

/// Statements that take more than a second on average, by the name in their first line: the text of others' may hold
/// values. PostgreSQL 13 renamed the columns.
const SLOW: &str = "-- doctor_slow_statements
select substring(query from '^-- ([a-z0-9_]+)') as name, queryid, calls, mean_exec_time as mean, total_exec_time as total
from pg_stat_statements
where dbid = (select oid from pg_database where datname = current_database())
    and userid = (select oid from pg_roles where rolname = current_user)
    and calls >= 10 and mean_exec_time > 1000
order by total_exec_time desc
limit 10";

const CAN_SEE_STATEMENTS: &str = "-- doctor_can_see_statements
select exists (select from pg_extension where extname = 'pg_stat_statements')
    and coalesce(current_setting('shared_preload_libraries', true), '') like '%pg_stat_statements%'
    and has_table_privilege(to_regclass('pg_stat_statements'), 'select')";

async fn slow_statements(client: &Client) -> Result<Sheet, tokio_postgres::Error> {
    let mut sheet = Sheet::default();
    let seen: Option<bool> = client.query_typed_one(CAN_SEE_STATEMENTS, &[]).await?.try_get(0)?;
    if seen != Some(true) {
        return Ok(sheet);
    }
    let mut evidence = Vec::new();
    for row in client.query_typed(SLOW, &[]).await? {
        let (name, id): (Option<String>, i64) = (row.try_get("name")?, row.try_get("queryid")?);
        let (calls, mean, total): (i64, f64, f64) =
            (row.try_get("calls")?, row.try_get("mean")?, row.try_get("total")?);
        let name = name.unwrap_or_else(|| format!("query {id}"));
        evidence.push(format!("{name}: {calls} calls of {:.1} s, {:.0} s in all", mean / 1e3, total / 1e3));
    }
    if !evidence.is_empty() {
        let finding = DATABASE_SLOW_STATEMENTS.warning("Statements take more than a second on average");
        sheet.find(finding.evidences(evidence).mend(shell::psql("analyze")));
    }
    Ok(sheet)
}
