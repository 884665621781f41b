//! Sim's own tables, read-only.
//!
//! One statement answers everything about a credential. Sim's rules, as its code has them:
//!
//! - Timestamps are UTC without a zone, so they are compared with `now() at time zone 'utc'`: plain `now()` would be
//!   wrong wherever the database's time zone is another.
//! - A ban holds until `ban_expires`, for ever without one.
//! - A workspace that is archived or gone does not exist, whatever `permissions` (which has no foreign key) still say.
//! - Owners and admins of a workspace's organization are admins of the workspace; everybody else has what
//!   `permissions` grant. Nothing else gives access: not `owner_id`, not the platform role, not the active
//!   organization.
//!
//! Needs SELECT on exactly the columns named here.

mod runner;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use chrono::NaiveDateTime;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

pub use self::runner::{Database, Rows, Statement};

use crate::{
    Answer, Cause, Found, Identity, Permission, Person, Reason, Recheck, Refusal, Session, SessionToken, Source, User,
    Users, Workspace,
};

/// How long an answer is waited for, whatever a statement may take elsewhere: somebody waits at the door.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The columns of `"user"` and all grants of workspaces that exist, for a row `u` of `"user"`.
macro_rules! person {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            "u.id as user_id, u.name, u.email, u.email_verified, u.image,
    coalesce(u.banned, false) and coalesce(u.ban_expires > (now() at time zone 'utc'), true) as banned,
    granted.ids, granted.names, granted.permissions
from \"user\" u
cross join lateral (
    select array_agg(w.id) as ids, array_agg(w.name) as names, array_agg(g.permission) as permissions
    from (
        select p.entity_id as workspace_id, p.permission_type::text as permission
        from permissions p
        where p.user_id = u.id and p.entity_type = 'workspace'
        union all
        select o.id, 'admin'
        from member m
        join workspace o on o.organization_id = m.organization_id
        where m.user_id = u.id and m.role in ('owner', 'admin')
    ) g
    join workspace w on w.id = g.workspace_id
    where w.archived_at is null
) granted
",
            $after
        )
    };
}

static SESSION_BY_TOKEN: Statement = Statement {
    name: "session_by_token",
    sql: person!(
        "-- session_by_token
select s.id as session_id, s.expires_at, s.active_organization_id, s.impersonated_by,
    s.expires_at > (now() at time zone 'utc') as live, ",
        "join session s on s.user_id = u.id
where s.token = $1"
    ),
    parameter: Type::TEXT,
};

static SESSIONS_BY_ID: Statement = Statement {
    name: "sessions_by_id",
    sql: person!(
        "-- sessions_by_id
select s.id as session_id, s.expires_at, s.active_organization_id, s.impersonated_by,
    s.expires_at > (now() at time zone 'utc') as live, ",
        "join session s on s.user_id = u.id
where s.id = any($1)"
    ),
    parameter: Type::TEXT_ARRAY,
};

static USERS_BY_ID: Statement = Statement {
    name: "users_by_id",
    sql: person!("-- users_by_id\nselect ", "where u.id = any($1)"),
    parameter: Type::TEXT_ARRAY,
};

static USER_BY_ID: Statement =
    Statement { name: "user_by_id", sql: person!("-- user_by_id\nselect ", "where u.id = $1"), parameter: Type::TEXT };

static EXISTING_WORKSPACES: Statement = Statement {
    name: "existing_workspaces",
    sql: "-- existing_workspaces\nselect id from workspace where id = any($1)",
    parameter: Type::TEXT_ARRAY,
};

/// For people who wonder, so one statement of two keys: `$1` is the user and the workspace.
static GRANTS: Statement = Statement {
    name: "grants",
    sql: "-- grants
select w.archived_at is not null as archived,
    (select p.permission_type::text from permissions p
        where p.entity_type = 'workspace' and p.entity_id = w.id and p.user_id = $1[1]) as permission,
    (select m.role from member m where m.organization_id = w.organization_id and m.user_id = $1[1]) as organization_role
from workspace w
where w.id = $1[2]",
    parameter: Type::TEXT_ARRAY,
};

/// What decides whether a user may enter a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Nobody enters a workspace that is.
    pub archived: bool,
    /// The permission that somebody gave, by its name in Sim.
    pub permission: Option<String>,
    /// The role in the workspace's organization; `owner` and `admin` administer all of its workspaces.
    pub organization_role: Option<String>,
}

/// Looks sessions and users up in Sim's tables.
pub struct DatabaseSource {
    database: Box<dyn Database>,
}

impl DatabaseSource {
    /// A source over the database that holds Sim's tables: a `deadpool_postgres::Pool`, or another [`Database`].
    #[must_use]
    pub fn new(database: impl Database + 'static) -> Self {
        database.announce(&[&SESSION_BY_TOKEN, &SESSIONS_BY_ID, &USER_BY_ID, &USERS_BY_ID, &EXISTING_WORKSPACES]);
        Self { database: Box::new(database) }
    }

    /// Those of `ids` that are workspaces of Sim's, archived ones included.
    ///
    /// # Errors
    /// When Sim's database cannot be asked.
    pub async fn existing_workspaces(&self, ids: &[String]) -> Result<HashSet<String>, Cause> {
        self.rows(&EXISTING_WORKSPACES, &ids).await?.iter().map(|row| get(row, "id")).collect()
    }

    /// Why a user may or may not enter a workspace; none when there is no such workspace.
    ///
    /// # Errors
    /// When Sim's database cannot be asked.
    pub async fn grants(&self, user_id: &str, workspace_id: &str) -> Result<Option<Grants>, Cause> {
        let rows = self.rows(&GRANTS, &[user_id, workspace_id].as_slice()).await?;
        let read = |row| {
            Ok(Grants {
                archived: get(row, "archived")?,
                permission: get(row, "permission")?,
                organization_role: get(row, "organization_role")?,
            })
        };
        rows.first().map(read).transpose()
    }

    async fn rows(&self, statement: &'static Statement, key: &(dyn ToSql + Sync)) -> Result<Vec<Row>, Cause> {
        let rows = timeout(TIMEOUT, self.database.query(statement, key)).await;
        rows.unwrap_or_else(|_| Err(Cause::new("Sim's tables: no answer in time")))
    }

    async fn one<T>(
        &self,
        statement: &'static Statement,
        key: &str,
        missing: Reason,
        read: fn(&Row) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        read(self.rows(statement, &key).await?.first().ok_or(missing)?)
    }

    async fn many<T>(
        &self,
        statement: &'static Statement,
        ids: &[&str],
        id: &str,
        read: fn(&Row) -> Result<T, Refusal>,
    ) -> Result<Found<T>, Refusal> {
        let rows = self.rows(statement, &ids).await?;
        let found = rows.iter().map(|row| {
            let found = match read(row) {
                Err(Refusal::Unknown(cause)) => return Err(cause.into()),
                Err(Refusal::Invalid(reason)) => Err(reason),
                Ok(found) => Ok(found),
            };
            Ok((get(row, id)?, found))
        });
        found.collect()
    }
}

impl Source for DatabaseSource {
    fn label(&self) -> &'static str {
        "database"
    }

    fn session<'a>(&'a self, token: SessionToken<'a>) -> Answer<'a, Identity> {
        Box::pin(self.one(&SESSION_BY_TOKEN, token.token, Reason::UnknownSession, identity))
    }

    fn users(&self) -> Option<&dyn Users> {
        Some(self)
    }

    fn recheck(&self) -> Option<&dyn Recheck> {
        Some(self)
    }
}

impl Recheck for DatabaseSource {
    fn sessions<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, Found<Identity>> {
        Box::pin(self.many(&SESSIONS_BY_ID, ids, "session_id", identity))
    }

    fn users<'a>(&'a self, ids: &'a [&'a str]) -> Answer<'a, Found<Person>> {
        Box::pin(self.many(&USERS_BY_ID, ids, "user_id", person))
    }
}

impl Users for DatabaseSource {
    fn user<'a>(&'a self, user_id: &'a str) -> Answer<'a, Person> {
        Box::pin(self.one(&USER_BY_ID, user_id, Reason::UnknownUser, person))
    }
}

fn identity(row: &Row) -> Result<Identity, Refusal> {
    if !get::<bool>(row, "live")? {
        return Err(Reason::Expired.into());
    }
    let Person { user, workspaces } = person(row)?;
    let session = Session {
        id: get(row, "session_id")?,
        expires_at: get::<NaiveDateTime>(row, "expires_at")?.and_utc(),
        active_organization_id: get(row, "active_organization_id")?,
        impersonated_by: get(row, "impersonated_by")?,
    };
    Ok(Identity { user, session, workspaces })
}

fn person(row: &Row) -> Result<Person, Refusal> {
    if get(row, "banned")? {
        return Err(Reason::Banned.into());
    }
    let user = User {
        id: get(row, "user_id")?,
        email: get(row, "email")?,
        name: get(row, "name")?,
        email_verified: get(row, "email_verified")?,
        image: get(row, "image")?,
    };
    Ok(Person { user, workspaces: workspaces(row)? })
}

/// The strongest grant of each workspace; a permission of unknown name grants nothing.
fn workspaces(row: &Row) -> Result<Vec<Workspace>, Cause> {
    let list = |column| get::<Option<Vec<String>>>(row, column).map(Option::unwrap_or_default);
    let mut workspaces: Vec<_> = list("ids")?
        .into_iter()
        .zip(list("names")?)
        .zip(list("permissions")?)
        .filter_map(|((id, name), permission)| {
            Some(Workspace { id, name, permission: Permission::from_name(&permission)? })
        })
        .collect();
    let order = |w: &Workspace| (w.name.clone(), w.id.clone(), Reverse(w.permission));
    workspaces.sort_by_cached_key(order);
    workspaces.dedup_by(|next, kept| next.id == kept.id);
    Ok(workspaces)
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, Cause> {
    row.try_get(column).map_err(|error| Cause::with_error("a row of Sim's tables", error).as_answer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_statement_reads_a_whole_table() {
        let database = parlant_test_support::database().await;
        let client = database.superuser().await;
        client
            .batch_execute(
                "insert into \"user\" (id, name, email, email_verified, created_at, updated_at)
                 select 'u' || n, 'N', 'u' || n, true, now(), now() from generate_series(1, 20000) n;
                 insert into organization (id, name, slug) select 'o' || n, 'O', 'o' from generate_series(1, 2000) n;
                 insert into member (id, user_id, organization_id, role)
                 select 'm' || n, 'u' || n, 'o' || (n % 2000 + 1), case n % 10 when 0 then 'admin' else 'member' end
                 from generate_series(1, 20000) n;
                 insert into workspace (id, name, owner_id, billed_account_user_id, organization_id)
                 select 'w' || n, 'W', 'u' || n, 'u' || n, case n % 2 when 0 then 'o' || (n % 2000 + 1) end
                 from generate_series(1, 20000) n;
                 insert into permissions (id, user_id, entity_type, entity_id, permission_type)
                 select 'p' || n, 'u' || (n % 20000 + 1), 'workspace', 'w' || (n * 7 % 20000 + 1), 'write'
                 from generate_series(1, 60000) n on conflict do nothing;
                 insert into session (id, token, user_id, expires_at, created_at, updated_at)
                 select 's' || n, 't' || n, 'u' || n, now() + interval '1 day', now(), now()
                 from generate_series(1, 20000) n;
                 analyze;",
            )
            .await
            .unwrap();
        let many = |prefix: &str| {
            let ids: Vec<_> = (1..=50).map(|n| format!("{prefix}{}", n * 300)).collect();
            format!("'{{{}}}'", ids.join(","))
        };
        let (sessions, users) = (many("s"), many("u"));
        for (statement, key) in
            [(&SESSION_BY_TOKEN, "'t10'"), (&USER_BY_ID, "'u10'"), (&SESSIONS_BY_ID, &sessions), (&USERS_BY_ID, &users)]
        {
            let explain = format!("explain (costs off) {}", statement.sql.replace("$1", key));
            let plan = client.query(&explain, &[]).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
            assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{}", plan.join("\n"));
        }
    }
}
