//! What can be found, once: `docs/reference/doctor.md` is held against this table by a test.

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The family and the kind, as `database.refused`. Scripts depend on it.
    pub id: &'static str,
    /// Why it happens.
    pub cause: &'static str,
    /// The runbook that is nearest; none: the page on troubleshooting has a section of its own.
    page: Option<&'static str>,
    /// What ids begin with that explain it, so that it is not told by itself.
    pub(crate) explained_by: &'static [&'static str],
}

impl Kind {
    /// The page with the rest, in the repository.
    #[must_use]
    pub fn runbook(&self) -> String {
        match self.page {
            Some(page) => format!("docs/runbooks/{page}.md"),
            None => format!("docs/operations/troubleshooting.md#{}", self.anchor()),
        }
    }

    /// What the section of the page on troubleshooting is called: the id with dashes.
    #[must_use]
    pub fn anchor(&self) -> String {
        self.id.replace(['.', '_'], "-")
    }
}

macro_rules! kinds {
    ($($name:ident: $id:literal, $page:expr, [$($explained_by:literal),*], $cause:literal;)*) => {
        $(pub(crate) const $name: Kind =
            Kind { id: $id, cause: $cause, page: $page, explained_by: &[$($explained_by),*] };)*

        /// Every kind of finding.
        pub const KINDS: &[Kind] = &[$($name),*];
    };
}

const DATABASE_DOWN: Option<&str> = Some("parlant-database-down");
const CONNECTIONS: Option<&str> = Some("parlant-database-connections-high");
const MIGRATIONS: Option<&str> = Some("parlant-migrations-pending");

kinds! {
    CONFIGURATION_INVALID: "configuration.invalid", None, [],
        "A variable is missing, misspelt, out of range, or disagrees with another one.";
    LOG_UNWRITABLE: "log.unwritable", None, [],
        "LOG_FILE names a directory or lies in one that is missing or belongs to another user.";
    DATABASE_UNKNOWN_HOST: "database.unknown_host", DATABASE_DOWN, [],
        "The name in DATABASE_URL is misspelt, or this machine's DNS does not know it.";
    DATABASE_REFUSED: "database.refused", DATABASE_DOWN, [],
        "PostgreSQL is stopped, listens elsewhere, or a firewall turns connections away.";
    DATABASE_SILENT: "database.silent", DATABASE_DOWN, [],
        "PostgreSQL hangs, or a firewall drops what is sent to it.";
    DATABASE_NETWORK: "database.network", DATABASE_DOWN, [],
        "The network does not lead there, or what answers is not PostgreSQL.";
    DATABASE_TLS: "database.tls", DATABASE_DOWN, [],
        "One side wants encryption and the other does not, or the certificate is not one that DATABASE_SSL_ROOT_CERT and DATABASE_SSL_MODE trust.";
    DATABASE_UNENCRYPTED: "database.unencrypted", None, [],
        "DATABASE_SSL_MODE allows it, and the server offers no encryption.";
    DATABASE_PASSWORD: "database.password", DATABASE_DOWN, [],
        "The password in DATABASE_URL is not the role's, or there is no such role: PostgreSQL says the same to both.";
    DATABASE_NOT_ADMITTED: "database.not_admitted", DATABASE_DOWN, [],
        "pg_hba.conf has no line for this role, database, address and encryption.";
    DATABASE_ROLE: "database.role", DATABASE_DOWN, [],
        "The role does not exist or may not log in, or the system's user is not the one that pg_hba.conf wants for it.";
    DATABASE_NO_DATABASE: "database.no_database", DATABASE_DOWN, [],
        "The database named in DATABASE_URL is not on that server.";
    DATABASE_NO_CONNECT: "database.no_connect", None, [],
        "The role lacks CONNECT on the database.";
    DATABASE_FULL: "database.full", CONNECTIONS, [],
        "All connections that the server, the database or the role may have are taken: pools are too large together, or somebody leaks them.";
    DATABASE_NOT_READY: "database.not_ready", DATABASE_DOWN, [],
        "PostgreSQL starts, stops or recovers. It may take minutes after a crash.";
    DATABASE_WRONG_SERVER: "database.wrong_server", DATABASE_DOWN, [],
        "No host of DATABASE_URL has the target_session_attrs that it asks for: a failover has not ended, or the new primary is not among them.";
    DATABASE_OTHER: "database.other", DATABASE_DOWN, [],
        "PostgreSQL refuses the connection for a reason of its own; its log has it.";
    DATABASE_STANDBY: "database.standby", DATABASE_DOWN, [],
        "DATABASE_URL leads to a standby or to a database that is set to be read-only. After a failover, name all hosts there, with target_session_attrs=read-write.";
    DATABASE_SLOW: "database.slow", DATABASE_DOWN, ["database.locked"],
        "The network in between is slow, or the database's machine has more work than it can do.";
    DATABASE_GRANTS: "database.grants", None, [],
        "deploy/sql/roles.sql was not applied, or not after the tables were made by another role.";
    DATABASE_CONNECTION_BUDGET: "database.connection_budget", CONNECTIONS, [],
        "The pools of all servers together may open more connections than PostgreSQL has: under load they get errors instead of waiting.";
    DATABASE_LONG_TRANSACTION: "database.long_transaction", None, ["database.locked"],
        "Somebody began a transaction and does not end it: it keeps locks, and dead rows cannot be removed.";
    DATABASE_LOCKED: "database.locked", None, [],
        "A session holds a lock that others need, and does not end its transaction.";
    DATABASE_SLOW_STATEMENTS: "database.slow_statements", Some("parlant-high-latency"), [],
        "A statement takes long on average: statistics are old, an index is missing, or the machine has too much work.";
    DATABASE_UNREADABLE: "database.unreadable", DATABASE_DOWN, ["database.locked"],
        "The database answers, and then the connection ends or a statement takes too long.";
    SCHEMA_PENDING: "schema.pending", MIGRATIONS, [],
        "This version brings migrations that were not applied; the server does not start on such a schema.";
    SCHEMA_DIVERGED: "schema.diverged", MIGRATIONS, [],
        "The history of migrations is not the one of this program: another branch's was applied, or a file was changed afterwards.";
    SCHEMA_NEWER: "schema.newer", MIGRATIONS, [],
        "A newer version has migrated the database; this one does not start on it.";
    SCHEMA_TABLE_MISSING: "schema.table_missing", None, ["schema.diverged"],
        "Somebody dropped a table that a migration made.";
    SCHEMA_INDEX_MISSING: "schema.index_missing", Some("parlant-high-latency"), ["schema.table_missing"],
        "Somebody dropped an index that a migration made; what it served reads whole tables now.";
    SCHEMA_INDEX_INVALID: "schema.index_invalid", None, [],
        "A CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY failed or was cut off: the index costs every write and serves no read.";
    SCHEMA_UNREADABLE: "schema.unreadable", MIGRATIONS, ["database.locked", "database.grants"],
        "The history of migrations cannot be read.";
    DOCTOR_UNFINISHED: "doctor.unfinished", None, ["database."],
        "What was asked accepts connections and hangs, or this machine has too much work.";
}
