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
    /// What explains it, so that it is not told by itself: findings with these ids, and what is broken and has an id that
    /// begins so.
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
    ($($name:ident: $id:literal, $page:expr, $explained_by:expr, $cause:literal;)*) => {
        $(pub(crate) const $name: Kind =
            Kind { id: $id, cause: $cause, page: $page, explained_by: $explained_by };)*

        /// Every kind of finding.
        pub const KINDS: &[Kind] = &[$($name),*];
    };
}

const DATABASE_DOWN: Option<&str> = Some("parlant-database-down");
const CONNECTIONS: Option<&str> = Some("parlant-database-connections-high");
const MIGRATIONS: Option<&str> = Some("parlant-migrations-pending");

/// What is in the way of every statement.
const DATABASE: &[&str] = &["configuration.invalid", "database.", "database.slow"];
/// What keeps a server from starting.
const START: &[&str] = &["configuration.invalid", "log.unwritable", "schema.", "database."];
/// What keeps the source of sessions from answering.
const SESSIONS: &[&str] = &[
    "configuration.invalid",
    "database.",
    "database.slow",
    "sim.tables",
    "sim.unreachable",
    "sim.error",
    "sim.wrong_shape",
];

kinds! {
    CONFIGURATION_INVALID: "configuration.invalid", None, &[],
        "A variable is missing, misspelt, out of range, or disagrees with another one.";
    LOG_UNWRITABLE: "log.unwritable", None, &[],
        "LOG_FILE names a directory or lies in one that is missing or belongs to another user.";
    DATABASE_UNKNOWN_HOST: "database.unknown_host", DATABASE_DOWN, &[],
        "The name in DATABASE_URL is misspelt, or this machine's DNS does not know it.";
    DATABASE_REFUSED: "database.refused", DATABASE_DOWN, &[],
        "PostgreSQL is stopped, listens elsewhere, or a firewall turns connections away.";
    DATABASE_SILENT: "database.silent", DATABASE_DOWN, &[],
        "PostgreSQL hangs, or a firewall drops what is sent to it.";
    DATABASE_NETWORK: "database.network", DATABASE_DOWN, &[],
        "The network does not lead there, or what answers is not PostgreSQL.";
    DATABASE_TLS: "database.tls", DATABASE_DOWN, &[],
        "One side wants encryption and the other does not, or the certificate is not one that DATABASE_SSL_ROOT_CERT and DATABASE_SSL_MODE trust.";
    DATABASE_UNENCRYPTED: "database.unencrypted", None, &[],
        "DATABASE_SSL_MODE allows it, and the server offers no encryption.";
    DATABASE_PASSWORD: "database.password", DATABASE_DOWN, &[],
        "The password in DATABASE_URL is not the role's, or there is no such role: PostgreSQL says the same to both.";
    DATABASE_NOT_ADMITTED: "database.not_admitted", DATABASE_DOWN, &[],
        "pg_hba.conf has no line for this role, database, address and encryption.";
    DATABASE_ROLE: "database.role", DATABASE_DOWN, &[],
        "The role does not exist or may not log in, or the system's user is not the one that pg_hba.conf wants for it.";
    DATABASE_NO_DATABASE: "database.no_database", DATABASE_DOWN, &[],
        "The database named in DATABASE_URL is not on that server.";
    DATABASE_NO_CONNECT: "database.no_connect", None, &[],
        "The role lacks CONNECT on the database.";
    DATABASE_FULL: "database.full", CONNECTIONS, &[],
        "All connections that the server, the database or the role may have are taken: pools are too large together, or somebody leaks them.";
    DATABASE_NOT_READY: "database.not_ready", DATABASE_DOWN, &[],
        "PostgreSQL starts, stops or recovers. It may take minutes after a crash.";
    DATABASE_WRONG_SERVER: "database.wrong_server", DATABASE_DOWN, &[],
        "No host of DATABASE_URL has the target_session_attrs that it asks for: a failover has not ended, or the new primary is not among them.";
    DATABASE_OTHER: "database.other", DATABASE_DOWN, &[],
        "PostgreSQL refuses the connection for a reason of its own; its log has it.";
    DATABASE_STANDBY: "database.standby", DATABASE_DOWN, &[],
        "DATABASE_URL leads to a standby or to a database that is set to be read-only. After a failover, name all hosts there, with target_session_attrs=read-write.";
    DATABASE_SLOW: "database.slow", DATABASE_DOWN, &["database.locked"],
        "The network in between is slow, or the database's machine has more work than it can do.";
    DATABASE_GRANTS: "database.grants", None, &[],
        "deploy/sql/roles.sql was not applied, or not after the tables were made by another role.";
    DATABASE_CONNECTION_BUDGET: "database.connection_budget", CONNECTIONS, &[],
        "The pools of all servers together may open more connections than PostgreSQL has: under load they get errors instead of waiting.";
    DATABASE_LONG_TRANSACTION: "database.long_transaction", None, &["database.locked"],
        "Somebody began a transaction and does not end it: it keeps locks, and dead rows cannot be removed.";
    DATABASE_LOCKED: "database.locked", None, &[],
        "A session holds a lock that others need, and does not end its transaction.";
    DATABASE_SLOW_STATEMENTS: "database.slow_statements", Some("parlant-high-latency"), &[],
        "A statement takes long on average: statistics are old, an index is missing, or the machine has too much work.";
    DATABASE_UNREADABLE: "database.unreadable", DATABASE_DOWN, &["database.locked"],
        "The database answers, and then the connection ends or a statement takes too long.";
    SCHEMA_PENDING: "schema.pending", MIGRATIONS, &[],
        "This version brings migrations that were not applied; the server does not start on such a schema.";
    SCHEMA_DIVERGED: "schema.diverged", MIGRATIONS, &[],
        "The history of migrations is not the one of this program: another branch's was applied, or a file was changed afterwards.";
    SCHEMA_NEWER: "schema.newer", MIGRATIONS, &[],
        "A newer version has migrated the database; this one does not start on it.";
    SCHEMA_TABLE_MISSING: "schema.table_missing", None, &["schema.diverged"],
        "Somebody dropped a table that a migration made.";
    SCHEMA_INDEX_MISSING: "schema.index_missing", Some("parlant-high-latency"), &["schema.table_missing"],
        "Somebody dropped an index that a migration made; what it served reads whole tables now.";
    SCHEMA_INDEX_INVALID: "schema.index_invalid", None, &[],
        "A CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY failed or was cut off: the index costs every write and serves no read.";
    SCHEMA_UNREADABLE: "schema.unreadable", MIGRATIONS, &["database.locked", "database.grants"],
        "The history of migrations cannot be read.";
    SIM_TABLES: "sim.tables", None, &[],
        "Sim's migrations have not run in that database, or a new version of Sim has other tables.";
    SIM_UNREACHABLE: "sim.unreachable", None, &[],
        "Sim is stopped or hangs, SIM_BASE_URL is wrong, or the network does not lead there.";
    SIM_ERROR: "sim.error", None, &[],
        "Sim runs and fails; its log has the reason.";
    SIM_WRONG_SHAPE: "sim.wrong_shape", None, &[],
        "SIM_BASE_URL or SIM_HEALTH_PATH leads to another service, a proxy answers in Sim's place, or Sim is of a version that this bridge does not know.";
    CLOCK_HERE: "clock.here", None, &[],
        "This machine does not set its clock by the network: the others agree with each other.";
    CLOCK_DATABASE: "clock.database", None, &["clock.here"],
        "One of the two machines does not set its clock by the network. Sessions end early or late, and ages in reports are wrong.";
    CLOCK_SIM: "clock.sim", None, &["clock.here"],
        "One of the two machines does not set its clock by the network. Tokens that are signed there are refused here, or live too long.";
    TOKEN_MALFORMED: "token.malformed", None, &[],
        "It is not a token of any known form: cut off, or another service's.";
    TOKEN_UNSIGNED: "token.unsigned", None, &[],
        "It came as a cookie without a signature, which Sim refuses too.";
    TOKEN_UNSUPPORTED: "token.unsupported", None, &[],
        "It is well-formed, and this configuration has no means to check its kind: a JWT without JWT_SECRET_KEY, JWT_PUBLIC_KEY or JWT_JWKS_URL, or a raw token without BETTER_AUTH_SECRET while sessions are looked up over HTTP.";
    TOKEN_BAD_SIGNATURE: "token.bad_signature", None, &[],
        "It is forged, comes from another Sim, or BETTER_AUTH_SECRET (for a JWT, its key) is not the one that it was signed with.";
    TOKEN_UNKNOWN_SESSION: "token.unknown_session", None, &[],
        "The session was signed out or revoked, or belongs to another Sim.";
    TOKEN_EXPIRED: "token.expired", None, &[],
        "The session has ended by its own date.";
    TOKEN_BANNED: "token.banned", None, &[],
        "An administrator of Sim has banned the user.";
    TOKEN_UNKNOWN_KEY: "token.unknown_key", None, &[],
        "The JWT names a key that its issuer does not publish.";
    TOKEN_BAD_CLAIMS: "token.bad_claims", None, &[],
        "The JWT lacks a claim that is required, or has another issuer, audience or time than is configured.";
    TOKEN_UNKNOWN_USER: "token.unknown_user", None, &[],
        "The JWT's subject is no user of Sim's.";
    TOKEN_UNVERIFIABLE: "token.unverifiable", Some("parlant-auth-unavailable"), SESSIONS,
        "The source of sessions does not answer.";
    WORKSPACE_DENIED: "workspace.denied", None, &[],
        "Nobody gave the user a permission there, and the user is neither owner nor admin of the workspace's organization. Owning the workspace, or being an administrator of Sim, gives none.";
    WORKSPACE_ARCHIVED: "workspace.archived", None, &[],
        "Somebody archived it. Permissions stay, and nobody enters.";
    WORKSPACE_MISSING: "workspace.missing", None, &[],
        "The id is wrong, or the workspace was deleted.";
    SERVER_DOWN: "server.down", Some("parlant-service-down"), START,
        "The server is stopped, does not start, or listens elsewhere (HOST, PORT).";
    SERVER_PORT_TAKEN: "server.port_taken", Some("parlant-service-down"), &[],
        "Another program has the port, so the server cannot start there.";
    SERVER_SILENT: "server.silent", Some("parlant-service-down"), &[],
        "The process is stopped (SIGSTOP), stuck, or out of file descriptors.";
    SERVER_DRAINING: "server.draining", None, &[],
        "Somebody stops it, and requests under way may end for as long as SHUTDOWN_GRACE.";
    SERVER_VERSION: "server.version", None, &[],
        "The programs were replaced, and the server was not restarted.";
    SERVER_SETTINGS_DIFFER: "server.settings_differ", None, &["configuration.invalid"],
        "The settings were changed, and the server was not restarted; or this shell does not have the server's environment.";
    SERVER_METRICS_REFUSED: "server.metrics_refused", None, &[],
        "METRICS_TOKEN is not the one that the server was started with.";
    SERVER_POOL_FULL: "server.pool_full", CONNECTIONS, DATABASE,
        "More requests at once than DATABASE_POOL_SIZE and DATABASE_POOL_MAX_OVERFLOW have connections for, or statements that take long.";
    SERVER_DATABASE: "server.database", DATABASE_DOWN, DATABASE,
        "A connection from here works and the server's does not: it runs with other settings, or from another network.";
    SERVER_SCHEMA: "server.schema", MIGRATIONS, &["schema.", "database."],
        "The running server knows other migrations than these programs.";
    SERVER_SIM: "server.sim", None, &["sim.unreachable", "sim.error", "sim.wrong_shape", "configuration.invalid"],
        "Sim answers from here and not to the server: it runs with other settings, or from another network.";
    SERVER_ENGINE: "server.engine", Some("parlant-engine-backlog"), &["engine.unreachable", "engine.refused", "engine.error", "engine.busy", "configuration.invalid"],
        "The engine answers from here and not to the server: it runs with other settings, or from another network.";
    SERVER_MEMORY: "server.memory", Some("parlant-high-memory-usage"), &[],
        "The limit of its container or service is too small for its sessions and streams, or memory leaks.";
    SERVER_DISK: "server.disk", Some("parlant-disk-space-low"), &["host.disk"],
        "Logs, backups or something else fill a file system that is not seen from here.";
    SERVER_AUTH_CACHE: "server.auth_cache", Some("parlant-auth-cache-miss-rate"), &[],
        "SESSION_CACHE_MAX_SIZE is smaller than the number of people at work, or each request brings a new token.";
    SERVER_FILE_DESCRIPTORS: "server.file_descriptors", None, &[],
        "The limit of open files is too small for the streams and connections that there are.";
    SERVER_RATE_LIMITED: "server.rate_limited", None, &[],
        "A client asks too much, or everybody comes from the address of a proxy that TRUSTED_PROXIES does not name.";
    LOG_LINES_DROPPED: "log.lines_dropped", None, &[],
        "Whoever takes the log, a disk or a pipe, was too slow for a while.";
    HOST_DISK: "host.disk", Some("parlant-disk-space-low"), &[],
        "Logs, backups or something else fill it; full, nothing is logged and no backup is made.";
    HOST_MEMORY: "host.memory", Some("parlant-high-memory-usage"), &[],
        "Everything on this machine together needs nearly all of its memory: the kernel will end a process soon.";
    BACKUP_NONE: "backup.none", Some("parlant-backup-too-old"), &[],
        "No backup was ever finished there: the timer does not run, or BACKUP_DIR is another directory than the timer's.";
    BACKUP_TOO_OLD: "backup.too_old", Some("parlant-backup-too-old"), &[],
        "The timer does not run, or its runs fail.";
    BACKUP_UNVERIFIED: "backup.unverified", Some("parlant-backup-unverified"), &["backup.too_old", "backup.none", "backup.damaged"],
        "Trial restores fail or are not made.";
    BACKUP_DAMAGED: "backup.damaged", Some("parlant-backup-unverified"), &[],
        "Its trial restore came out different, or its archive was changed afterwards.";
    BACKUP_UNREADABLE: "backup.unreadable", None, &[],
        "This user may not read BACKUP_DIR, or it is no directory.";
    ENGINE_UNREACHABLE: "engine.unreachable", Some("parlant-engine-backlog"), &[],
        "Parlant is stopped or hangs, PARLANT_BASE_URL is wrong, or the network does not lead there. Messages are kept, and answered when it is back.";
    ENGINE_REFUSED: "engine.refused", Some("parlant-engine-turns-failing"), &[],
        "PARLANT_API_TOKEN is not the one that Parlant, or the proxy in front of it, wants.";
    ENGINE_ERROR: "engine.error", Some("parlant-engine-turns-failing"), &[],
        "Parlant fails, or PARLANT_BASE_URL leads to something else.";
    ENGINE_BUSY: "engine.busy", Some("parlant-engine-backlog"), &[],
        "Parlant does everything on one thread, and has more to do than it can.";
    ENGINE_BACKLOG: "engine.backlog", Some("parlant-engine-backlog"), &["engine.unreachable", "engine.refused", "engine.error", "engine.busy", "server.engine"],
        "The engine, or the model behind it, is too slow or fails.";
    ALERTS_UNREACHABLE: "alerts.unreachable", None, &[],
        "The webhook's server is down, its name or certificate is wrong, or this machine may not go out.";
    ALERTS_UNDELIVERED: "alerts.undelivered", None, &["alerts.unreachable"],
        "The webhook was revoked or its channel removed, or it could not be reached for long.";
    DOCTOR_UNFINISHED: "doctor.unfinished", None, &["database."],
        "What was asked accepts connections and hangs, or this machine has too much work.";
}
