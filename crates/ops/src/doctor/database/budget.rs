//! Whether the pools of all servers fit into what the database has.

use parlant_db_pool::{self as db_pool, Client, Type};

use crate::doctor::kinds::DATABASE_CONNECTION_BUDGET;
use crate::doctor::sheet::Sheet;
use crate::doctor::shell;

/// Each server listens on a connection of its own, whose last statement was to listen or to notify itself. One that
/// nobody can see is there all the same, or the settings are for one that is to be started.
const CONNECTIONS: &str = "-- doctor_connections
select current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
        - coalesce(current_setting('reserved_connections', true), '0')::bigint as server,
    (select nullif(rolconnlimit, -1)::bigint from pg_roles where rolname = current_user) as role,
    (select nullif(datconnlimit, -1)::bigint from pg_database where datname = current_database()) as database,
    count(*) filter (where ours and (query ilike 'listen %' or query like '-- notify%')) as replicas,
    count(*) filter (where not ours) as others
from (
    select query, datname = current_database() and usename = current_user and application_name = $1 as ours
    from pg_stat_activity
    -- What kind of backend another role's session is may not be seen; the system's own have no role.
    where usename is not null and coalesce(backend_type, 'client backend') = 'client backend' and pid <> pg_backend_pid()
) sessions";

/// What a server holds beside its pool: one that listens, one for pings, one now and then for the schema.
const BESIDE_POOL: i64 = 3;

pub(super) async fn look(client: &Client, config: &db_pool::Config) -> Result<Sheet, tokio_postgres::Error> {
    let mut sheet = Sheet::default();
    let row = client.query_typed_one(CONNECTIONS, &[(&"parlant-server", Type::TEXT)]).await?;
    let (server, others): (i64, i64) = (row.try_get("server")?, row.try_get("others")?);
    let replicas = row.try_get::<_, i64>("replicas")?.max(1);
    let pool = i64::try_from(config.pool_size + config.max_overflow).unwrap_or(i64::MAX);
    let wanted = replicas.saturating_mul(pool.saturating_add(BESIDE_POOL));
    let limits = [
        ("max_connections without what is reserved", Some(server - others)),
        ("the role's limit", row.try_get("role")?),
        ("the database's limit", row.try_get("database")?),
    ];
    let tightest = limits.into_iter().filter_map(|(name, limit)| Some((limit?, name))).min();
    if let Some((limit, name)) = tightest.filter(|(limit, _)| wanted > *limit) {
        let room = (limit / replicas - BESIDE_POOL).max(2);
        let (size, overflow) = (room / 3, room - room / 3);
        sheet.find(
            DATABASE_CONNECTION_BUDGET
                .warning("The pools may open more connections than the database has")
                .evidence(format!(
                    "{replicas} servers x ({} + {} + {BESIDE_POOL}) = {wanted} connections",
                    config.pool_size, config.max_overflow
                ))
                .evidence(format!("{limit} are left by {name}, beside {others} that others have now"))
                .mend(format!(
                    "DATABASE_POOL_SIZE={size} DATABASE_POOL_MAX_OVERFLOW={overflow}   # in every server's environment\n{}",
                    shell::psql(&format!("alter system set max_connections = {}", wanted + others + 20))
                        + "   # or this, and a restart of PostgreSQL"
                )),
        );
    }
    Ok(sheet)
}
