//! Databases that exist only while something is restored into them and compared.
//!
//! Each has a session that holds an advisory lock on its name, in the database `postgres`. The server ends the session
//! when its process is gone, however it went; so a database whose lock is free is nobody's, and whoever comes next
//! drops it. A private cluster goes with its process by itself.

use std::path::Path;

use chrono::{DateTime, Utc};
use parlant_db_pool::Config;
use parlant_embedded_postgres::{Cluster, Installation, Options};
use tokio_postgres::Client;

use crate::Error;
use crate::fingerprint::{Fingerprints, Scope, fingerprints};
use crate::source::connect;

/// What names of scratch databases look like: nothing else is ever dropped.
const PATTERN: &str = "^parlant_(verify|restoring)_[0-9]{8}_[0-9]{6}_[0-9a-f]{8}$";

/// The database that every server has, where locks on names are held.
const MAINTENANCE: &str = "postgres";

/// How a private cluster is made fast. It is never recovered: nothing has to reach the disk. Without senders, the
/// write-ahead log of tables that are filled in the transaction that made them is not written at all, which saves
/// their size on disk and a seventh of the time.
const SETTINGS: [(&str, &str); 12] = [
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("synchronous_commit", "off"),
    ("autovacuum", "off"),
    ("jit", "off"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "4GB"),
    ("shared_buffers", "256MB"),
    ("maintenance_work_mem", "256MB"),
    // One transaction makes every table.
    ("max_locks_per_transaction", "1024"),
    ("bgwriter_lru_maxpages", "0"),
    ("unix_socket_permissions", "0700"),
];

/// A server that databases can be made on.
pub struct Server {
    pub(crate) admin: Client,
    /// Of this one server, whatever the database.
    pub(crate) config: Config,
    pub(crate) major: u32,
    cluster: Option<(Cluster, Installation)>,
}

/// A database of ours on a [`Server`].
pub(crate) struct Scratch<'a> {
    pub(crate) server: &'a Server,
    pub(crate) name: String,
}

/// What a new database is like.
pub(crate) struct Locale<'a> {
    pub(crate) encoding: &'a str,
    pub(crate) collate: &'a str,
    pub(crate) ctype: &'a str,
}

impl Server {
    /// Connects to the first of the servers of `config` that lets us in.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let (admin, config) = connect(config, Some(MAINTENANCE)).await?;
        Self::new(admin, config, None).await
    }

    /// Starts a private one, which is gone with this process.
    pub async fn private(bin_dir: Option<&Path>) -> Result<Self, Error> {
        let failed = |error: parlant_embedded_postgres::Error| Error::program("postgres", error.to_string());
        let installation = Installation::find(bin_dir).map_err(|error| failed(error.into()))?;
        let options =
            SETTINGS.iter().fold(Options::temporary(), |options, (name, value)| options.setting(*name, *value));
        let cluster = Cluster::start(&installation, options).await.map_err(failed)?;
        let config = Config { application_name: "parlant-backup".to_owned(), ..Config::new(cluster.url(MAINTENANCE)) };
        let (admin, config) = connect(&config, None).await?;
        Self::new(admin, config, Some((cluster, installation))).await
    }

    async fn new(admin: Client, config: Config, cluster: Option<(Cluster, Installation)>) -> Result<Self, Error> {
        let failed = Error::database("tell its version");
        let sql = "-- server_major\nselect current_setting('server_version_num')::int / 10000";
        let major: i32 = admin.query_typed_one(sql, &[]).await.map_err(failed)?.get(0);
        Ok(Self { admin, config, major: major.unsigned_abs(), cluster })
    }

    /// Whether it is this process's own.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.cluster.is_some()
    }

    /// Where its own programs are, when that is known.
    pub(crate) fn bin_dir(&self) -> Option<&Path> {
        self.cluster.as_ref().map(|(_, installation)| installation.bin_dir())
    }

    /// Drops the scratch databases that processes left which are gone.
    pub async fn reap(&self) -> Result<(), Error> {
        let failed = || Error::database("list its databases");
        let sql = "-- scratch_databases\nselect datname::text from pg_catalog.pg_database where datname ~ $1";
        let found = self.admin.query_typed(sql, &[(&PATTERN, tokio_postgres::types::Type::TEXT)]).await;
        for row in found.map_err(failed())? {
            let name: String = row.get(0);
            if self.lock("pg_try_advisory_lock", &name).await? {
                let dropped = self.drop_database(&name).await;
                self.lock("pg_advisory_unlock", &name).await?;
                match dropped {
                    Ok(()) => tracing::info!(database = name, "Dropped a scratch database that nobody uses"),
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(database = name, error, "A scratch database stays");
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a database `parlant_{purpose}_…`, after dropping what others left.
    pub(crate) async fn scratch(
        &self,
        purpose: &'static str,
        now: DateTime<Utc>,
        locale: &Locale<'_>,
    ) -> Result<Scratch<'_>, Error> {
        self.reap().await?;
        let name = scratch_name(purpose, now);
        self.lock("pg_try_advisory_lock", &name).await?;
        let sql = format!(
            "-- make_scratch_database\ncreate database {name} template template0 encoding {} lc_collate {} lc_ctype {}",
            literal(locale.encoding),
            literal(locale.collate),
            literal(locale.ctype)
        );
        self.admin.batch_execute(&sql).await.map_err(Error::database("make a database"))?;
        Ok(Scratch { server: self, name })
    }

    pub(crate) async fn drop_database(&self, name: &str) -> Result<(), Error> {
        let sql = format!("-- drop_database\ndrop database if exists {} with (force)", identifier(name));
        self.admin.batch_execute(&sql).await.map_err(Error::database("drop a database"))
    }

    async fn lock(&self, function: &str, name: &str) -> Result<bool, Error> {
        let sql = format!(
            "-- lock_scratch_database\nselect pg_catalog.{function}(pg_catalog.hashtextextended('parlant-backup ' || $1, 0))"
        );
        let row = self.admin.query_typed_one(&sql, &[(&name, tokio_postgres::types::Type::TEXT)]).await;
        Ok(row.map_err(Error::database("lock the name of a database"))?.get(0))
    }

    /// Stops it when it is private; waits until it is gone.
    pub async fn stop(self) {
        drop(self.admin);
        if let Some((cluster, _)) = self.cluster {
            cluster.stop().await;
        }
    }
}

impl Scratch<'_> {
    /// How to reach it.
    pub(crate) fn config(&self) -> Config {
        in_database(&self.server.config, &self.name)
    }

    /// What its tables contain.
    pub(crate) async fn fingerprints(&self, scope: &Scope) -> Result<Fingerprints, Error> {
        // What was left out must be empty, so it is read like the rest.
        let scope = Scope { without_data: Vec::new(), ..scope.clone() };
        let client = parlant_db_pool::connect(&self.config()).await?;
        let begin = "-- begin_comparison\nbegin read only";
        client.batch_execute(begin).await.map_err(Error::database("begin a transaction"))?;
        fingerprints(&client, &scope).await
    }

    /// Drops it, and gives its name free.
    pub(crate) async fn discard(self) -> Result<(), Error> {
        self.server.drop_database(&self.name).await?;
        self.server.lock("pg_advisory_unlock", &self.name).await.map(drop)
    }

    /// Keeps it, under whatever name it has now.
    pub(crate) async fn keep(self) -> Result<(), Error> {
        self.server.lock("pg_advisory_unlock", &self.name).await.map(drop)
    }
}

/// A name that [`PATTERN`] matches.
pub(crate) fn scratch_name(purpose: &str, now: DateTime<Utc>) -> String {
    format!("parlant_{purpose}_{}_{:08x}", now.format("%Y%m%d_%H%M%S"), rand::random::<u32>())
}

/// The same server, as [`Config::servers`] tells it, and another database.
pub(crate) fn in_database(config: &Config, name: &str) -> Config {
    use parlant_settings::ExposeSecret as _;
    // Later parameters win.
    let name = name.replace('\\', r"\\").replace('\'', r"\'");
    Config { url: format!("{} dbname='{name}'", config.url.expose_secret()).into(), ..config.clone() }
}

/// A name as SQL has it.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
