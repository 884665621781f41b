//! Connecting, and what is in the way.

use std::error::Error as _;
use std::time::Duration;

use parlant_db_pool::{self as db_pool, Client, Error, Failure};
use tokio::time::Instant;

use crate::doctor::kinds::{
    DATABASE_FULL, DATABASE_NETWORK, DATABASE_NO_CONNECT, DATABASE_NO_DATABASE, DATABASE_NOT_ADMITTED,
    DATABASE_NOT_READY, DATABASE_OTHER, DATABASE_PASSWORD, DATABASE_REFUSED, DATABASE_ROLE, DATABASE_SILENT,
    DATABASE_TLS, DATABASE_UNKNOWN_HOST, DATABASE_WRONG_SERVER,
};
use crate::doctor::shell::{psql, quoted};
use crate::doctor::{Finding, Kind};

/// The most that a connection may take here, whatever `DATABASE_CONNECTION_TIMEOUT` says.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection with the server's settings, or what is in the way of one.
pub(super) async fn connect(config: &db_pool::Config) -> Result<Client, Finding> {
    let patience = config.connection_timeout.min(PATIENCE);
    let config = db_pool::Config { connection_timeout: patience, ..config.clone() };
    let begun = Instant::now();
    db_pool::connect(&config).await.map_err(|error| {
        let servers = config.addresses().unwrap_or_default().join(", ");
        obstacle(&error, &servers).evidence(format!("asked {servers} for {:.1} s", begun.elapsed().as_secs_f64()))
    })
}

fn obstacle(error: &Error, servers: &str) -> Finding {
    let (kind, summary, mend): (Kind, &str, String) = match error.failure().unwrap_or(Failure::Other) {
        Failure::UnknownHost => {
            let host = servers.split([':', ',']).next().unwrap_or_default();
            (DATABASE_UNKNOWN_HOST, "The database's host has no address", format!("getent hosts {}", quoted(host)))
        }
        Failure::Refused => (
            DATABASE_REFUSED,
            "Nobody listens where the database should be",
            "systemctl status postgresql; journalctl -u postgresql --since -30min   # on the database's host"
                .to_owned(),
        ),
        Failure::Silent => (
            DATABASE_SILENT,
            "The database does not answer",
            "journalctl -u postgresql --since -30min   # on the database's host; then: ss -ltnp".to_owned(),
        ),
        Failure::Network => {
            (DATABASE_NETWORK, "The database's connection fails", "pg_isready -d \"$DATABASE_URL\"".to_owned())
        }
        Failure::Tls => (
            DATABASE_TLS,
            "The database's connection cannot be encrypted as it should be",
            "psql \"$DATABASE_URL\" -c 'select ssl, version from pg_stat_ssl where pid = pg_backend_pid()'".to_owned(),
        ),
        Failure::Password => (
            DATABASE_PASSWORD,
            "The database does not accept the password",
            "psql \"$ADMIN_URL\" -c '\\password parlant_app'   # then the same one in DATABASE_URL".to_owned(),
        ),
        Failure::NotAdmitted => (
            DATABASE_NOT_ADMITTED,
            "The database does not admit this role from here",
            "psql \"$ADMIN_URL\" -c 'table pg_hba_file_rules'   # add a line, then: select pg_reload_conf()".to_owned(),
        ),
        Failure::Role => (
            DATABASE_ROLE,
            "The database does not know the role, or it may not log in",
            "psql \"$ADMIN_URL\" -f deploy/sql/roles.sql".to_owned(),
        ),
        Failure::NoDatabase => (DATABASE_NO_DATABASE, "There is no such database", "psql \"$ADMIN_URL\" -l".to_owned()),
        Failure::NoConnect => (
            DATABASE_NO_CONNECT,
            "The role may not connect to the database",
            "psql \"$ADMIN_URL\" -f deploy/sql/roles.sql".to_owned(),
        ),
        Failure::Full => (
            DATABASE_FULL,
            "The database has no connection left",
            psql(
                "select usename, application_name, client_addr, count(*) from pg_stat_activity group by 1, 2, 3 order by 4 desc",
            ),
        ),
        Failure::NotReady => (
            DATABASE_NOT_READY,
            "The database starts or stops",
            "journalctl -u postgresql --since -30min   # on the database's host".to_owned(),
        ),
        Failure::WrongServer => (
            DATABASE_WRONG_SERVER,
            "No database server is of the kind that is asked for",
            psql("select pg_is_in_recovery()"),
        ),
        Failure::Other => (
            DATABASE_OTHER,
            "The database refuses the connection",
            "journalctl -u postgresql --since -30min   # on the database's host".to_owned(),
        ),
    };
    let finding = kind.broken(summary).mend(mend);
    match said(error) {
        Some(said) => finding.evidence(said),
        None => finding,
    }
}

/// What the server or the system said: texts of PostgreSQL's about a connection name roles, databases and addresses, never
/// a password.
fn said(error: &Error) -> Option<String> {
    let Error::Connect(cause) = error else { return None };
    Some(match cause.as_db_error() {
        Some(answer) => format!("{} (SQLSTATE {})", answer.message(), answer.code().code()),
        None => cause.source().map_or_else(|| cause.to_string(), |source| format!("{cause}: {source}")),
    })
}
