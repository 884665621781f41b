//! A PostgreSQL pool for services that must answer while their database misbehaves.
//!
//! - `pool_size` connections are kept warm; up to `max_overflow` more exist under load and are retired when idle.
//! - Nothing waits for ever: not for a connection, not for a connect, not for a statement. A caller that goes away
//!   takes its statement with it.
//! - TLS modes behave as libpq's, several hosts and `target_session_attrs` are followed through a failover, and
//!   with prepared statements off a transaction-pooling `PgBouncer` may stand in between.
//! - [`Pool::transaction`] repeats what lost against another transaction, a bounded number of times.
//! - [`Listener`] hears `NOTIFY`, and goes on doing so when its connection is lost.
//! - [`Error::class`] tells "try again later" from "this is a defect". Its `Display` is safe to show.
//!
//! ```no_run
//! use parlant_db_pool::{Config, Error, Pool, Query, Type};
//!
//! static AGENT_NAME: Query = Query {
//!     name: "agent_name",
//!     sql: "-- agent_name\nselect name from parlant_agent where id = $1 and workspace_id = $2",
//!     types: &[Type::INT8, Type::TEXT],
//! };
//!
//! async fn agent_name(pool: &Pool, id: i64, workspace: &str) -> Result<Option<String>, Error> {
//!     let row = pool.query_opt(&AGENT_NAME, &[&id, &workspace]).await?;
//!     Ok(row.map(|row| row.get("name")))
//! }
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(&Config::new("postgres://parlant_app:secret@db.internal/sim?sslmode=verify-full&sslrootcert=system"))?;
//! let name = agent_name(&pool, 7, "workspace-1").await?;
//! # Ok(()) }
//! ```
//!
//! # How to extend
//! A connection parameter: `parameters.rs`. A setting: a field of [`Config`] and an entry of [`VARIABLES`]. A rule of
//! TLS trust: `tls/`. No table's name belongs in this crate.

mod cancel;
mod config;
mod connect;
mod connection;
mod dsn;
mod error;
mod failure;
mod libpq;
mod listen;
mod metrics;
mod parameters;
mod pool;
mod query;
mod reserve;
mod shared;
mod statement;
mod target;
mod tls;
mod transaction;
mod trust;

pub use config::{
    COMMAND_TIMEOUT, CONNECTION_TIMEOUT, Config, DATABASE_URL, POOL_MAX_OVERFLOW, POOL_SIZE, POOL_TIMEOUT,
    PREPARED_STATEMENTS, SSL_MODE, SSL_ROOT_CERT, VARIABLES,
};
pub use connect::connect;
pub use connection::Connection;
pub use error::{Class, Error};
pub use failure::Failure;
pub use listen::{Heard, Listener, Notifier};
pub use metrics::{
    CONNECTIONS, CONNECTIONS_MAX, POOL_TIMEOUTS, POOL_WAIT_SECONDS, POOL_WAITING, QUERY_DURATION_SECONDS,
};
pub use pool::{Pool, Statistics};
pub use query::Query;
pub use target::ConfigError;
pub use tls::{SslMode, UnknownSslMode};
pub use tokio_postgres::error::SqlState;
pub use tokio_postgres::types::{ToSql, Type};
pub use tokio_postgres::{Client, IsolationLevel, Row};
pub use transaction::{Transaction, TransactionOptions};
