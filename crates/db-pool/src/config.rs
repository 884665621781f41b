use std::path::PathBuf;
use std::time::Duration;

use parlant_settings::{Secret, Settings, Variable};

use crate::{ConfigError, SslMode, target::Target};

/// Where the database is.
pub const DATABASE_URL: Variable =
    Variable::new("DATABASE_URL", "PostgreSQL to store in; several hosts and target_session_attrs are allowed")
        .alias(&["POSTGRES_URL"])
        .secret();
/// How the connection is encrypted.
pub const SSL_MODE: Variable = Variable::new(
    "DATABASE_SSL_MODE",
    "disable, allow, prefer, require, verify-ca or verify-full, as in libpq; wins over the URL's sslmode, prefer when neither says",
);
/// Whom to trust.
pub const SSL_ROOT_CERT: Variable = Variable::new(
    "DATABASE_SSL_ROOT_CERT",
    "PEM file of the authorities that may sign the server's certificate, or `system`; wins over the URL's sslrootcert",
);
/// The base of the pool.
pub const POOL_SIZE: Variable = Variable::new("DATABASE_POOL_SIZE", "Connections kept warm").default("10");
/// The overflow of the pool.
pub const POOL_MAX_OVERFLOW: Variable =
    Variable::new("DATABASE_POOL_MAX_OVERFLOW", "Connections beyond the pool size under load, retired when idle")
        .default("20");
/// How long a caller waits.
pub const POOL_TIMEOUT: Variable =
    Variable::new("DATABASE_POOL_TIMEOUT", "Longest wait for a connection").default("5s");
/// How long connecting may take.
pub const CONNECTION_TIMEOUT: Variable =
    Variable::new("DATABASE_CONNECTION_TIMEOUT", "Longest time to connect, over all hosts").default("10s");
/// How long a statement may run.
pub const COMMAND_TIMEOUT: Variable =
    Variable::new("DATABASE_COMMAND_TIMEOUT", "Longest time for one statement, on the server and here").default("30s");
/// Whether to prepare.
pub const PREPARED_STATEMENTS: Variable =
    Variable::new("DATABASE_PREPARED_STATEMENTS", "Off for a transaction-pooling PgBouncer").default("on");

/// Every variable that [`Config::from_settings`] reads.
pub const VARIABLES: &[Variable] = &[
    DATABASE_URL,
    SSL_MODE,
    SSL_ROOT_CERT,
    POOL_SIZE,
    POOL_MAX_OVERFLOW,
    POOL_TIMEOUT,
    CONNECTION_TIMEOUT,
    COMMAND_TIMEOUT,
    PREPARED_STATEMENTS,
];

/// How to reach the database and how many connections to hold. `Debug` shows no URL.
#[derive(Debug, Clone)]
pub struct Config {
    /// A `postgres://` URL or a `key=value` string, as libpq reads them.
    pub url: Secret,
    /// Wins over the URL's `sslmode`. [`SslMode::Prefer`] when neither says.
    pub ssl_mode: Option<SslMode>,
    /// A PEM file, or `system`; wins over the URL's `sslrootcert`.
    pub ssl_root_cert: Option<PathBuf>,
    /// Connections kept warm. At most the server's `max_connections` over all replicas, overflow included.
    pub pool_size: usize,
    /// Connections beyond `pool_size` under load.
    pub max_overflow: usize,
    /// Longest wait for a connection, connecting included. Longer hides overload, shorter refuses bursts.
    pub pool_timeout: Duration,
    /// Longest time to connect, shared among the hosts.
    pub connection_timeout: Duration,
    /// Longest time for one statement.
    pub command_timeout: Duration,
    /// Whether statements are prepared once per connection. Off, they are sent whole each time, session settings
    /// are left alone, and a transaction-pooling `PgBouncer` can stand in between. Then `command_timeout` holds on
    /// the server in transactions only: also set it with `alter role .. set statement_timeout`; and rows may have
    /// built-in types only, because others are looked up by prepared statements. `pgbouncer=true` in the URL turns
    /// them off as well.
    pub prepared_statements: bool,
    /// Shown in `pg_stat_activity`. The URL's `application_name` wins.
    pub application_name: String,
    /// Tells the gauges of this pool from those of the program's main one, which has no name.
    pub name: Option<&'static str>,
    /// How long a connection beyond `pool_size` stays unused before it is closed.
    pub overflow_idle: Duration,
    /// A connection unused for longer is pinged before it is used again.
    pub ping_after: Duration,
}

impl Config {
    /// The defaults of [`VARIABLES`] for the database at `url`.
    pub fn new(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            ssl_mode: None,
            ssl_root_cert: None,
            pool_size: 10,
            max_overflow: 20,
            pool_timeout: Duration::from_secs(5),
            connection_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(30),
            prepared_statements: true,
            application_name: "parlant-server".to_owned(),
            name: None,
            overflow_idle: Duration::from_mins(1),
            ping_after: Duration::from_secs(30),
        }
    }

    /// Reads [`VARIABLES`]. What cannot be used is recorded as a problem of its variable.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let url = settings.secret(&DATABASE_URL);
        let missing = url.is_none();
        if missing {
            settings.problem(&DATABASE_URL, "is required");
        }
        let mut config = Self::new(url.unwrap_or_default());
        config.ssl_mode = settings.optional(&SSL_MODE);
        config.ssl_root_cert = settings.optional(&SSL_ROOT_CERT);
        config.pool_size = settings.value(&POOL_SIZE);
        config.max_overflow = settings.value(&POOL_MAX_OVERFLOW);
        config.pool_timeout = settings.value(&POOL_TIMEOUT);
        config.connection_timeout = settings.value(&CONNECTION_TIMEOUT);
        config.command_timeout = settings.value(&COMMAND_TIMEOUT);
        config.prepared_statements = settings.value(&PREPARED_STATEMENTS);
        for (variable, time) in [
            (&POOL_TIMEOUT, config.pool_timeout),
            (&CONNECTION_TIMEOUT, config.connection_timeout),
            (&COMMAND_TIMEOUT, config.command_timeout),
        ] {
            if time.is_zero() {
                settings.problem(variable, "must be longer than 0");
            }
        }
        if config.pool_size == 0 && config.max_overflow == 0 {
            settings.problem(&POOL_SIZE, "and DATABASE_POOL_MAX_OVERFLOW cannot both be 0");
        }
        if !missing && let Err(error) = config.check() {
            let variable = if error.is_root_cert() { &SSL_ROOT_CERT } else { &DATABASE_URL };
            settings.problem(variable, error.to_string());
        }
        config
    }

    /// Whether the URL and the TLS settings can be used; reads the root certificates. No connection is made.
    pub fn check(&self) -> Result<(), ConfigError> {
        Target::new(self).map(drop)
    }

    /// Whether a connection is the same session of the server for as long as it is held: not so behind a
    /// transaction-pooling `PgBouncer`, by this configuration.
    pub fn keeps_sessions(&self) -> Result<bool, ConfigError> {
        Ok(self.prepared_statements && !Target::new(self)?.pgbouncer)
    }
}
