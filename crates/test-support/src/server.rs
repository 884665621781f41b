use std::{
    env,
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use parlant_auth_bridge::fixture::SIM_SCHEMA;
use parlant_embedded_postgres::{Cluster, Installation, Options};
use parlant_schema::ApplyOptions;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

/// The template of databases without tables.
const EMPTY: &str = "template_empty";

/// The template of databases with Sim's and the bridge's tables.
const FULL: &str = "template_full";

const ROLES: &str = include_str!("../../../deploy/sql/roles.sql");

/// One PostgreSQL, with the templates that the databases of tests are copied from.
///
/// No connection outlives a call: every test has a runtime of its own, which its connections die with.
pub(crate) struct Server {
    cluster: Cluster,
    empty: OnceCell<()>,
    full: OnceCell<()>,
    databases: AtomicU32,
}

/// The server of this test process.
static SHARED: OnceCell<Server> = OnceCell::const_new();

impl Server {
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
        let bin_dir = env::var_os("PG_BIN_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let installation = Installation::find(bin_dir.as_deref()).unwrap_or_else(|error| panic!("{error}"));
        let options = Options::temporary()
            // Pools of many tests at once.
            .setting("max_connections", "300")
            // The log of what will never be recovered need not be long.
            .setting("max_wal_size", "256MB")
            // Plans like those of a server at work, not of one query in a test's life.
            .setting("jit", "off");
        let cluster = Cluster::start(&installation, options).await.unwrap_or_else(|error| panic!("{error}"));
        Self { cluster, empty: OnceCell::new(), full: OnceCell::new(), databases: AtomicU32::new(0) }
    }

    /// A new database without tables; the roles are there with their rights.
    pub(crate) async fn create_empty(&self) -> String {
        self.empty.get_or_init(|| self.make_empty()).await;
        self.copy(EMPTY).await
    }

    /// A new database with every table.
    pub(crate) async fn create_full(&self) -> String {
        self.full.get_or_init(|| self.make_full()).await;
        self.copy(FULL).await
    }

    async fn copy(&self, template: &str) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.make_database(&name, template).await;
        name
    }

    async fn make_database(&self, name: &str, template: &str) {
        let admin = self.connect("postgres", "postgres").await;
        run(&admin, &format!("create database {name} template {template}")).await;
    }

    async fn make_empty(&self) {
        self.drop_unfinished(EMPTY).await;
        self.make_database(EMPTY, "template0").await;
        let admin = self.connect("postgres", EMPTY).await;
        run(&admin, ROLES).await;
        run(&admin, "drop role if exists sim; create role sim login").await;
        run(&admin, "grant usage, create on schema public to sim").await;
        for role in ["sim", "parlant_app", "parlant_migrator", "parlant_backup"] {
            run(&admin, &format!("alter role {role} password '{}'", self.cluster.password())).await;
        }
    }

    async fn make_full(&self) {
        self.empty.get_or_init(|| self.make_empty()).await;
        self.drop_unfinished(FULL).await;
        self.make_database(FULL, EMPTY).await;
        run(&self.connect("sim", FULL).await, SIM_SCHEMA).await;
        run(&self.connect("postgres", FULL).await, ROLES).await;
        let migrator = parlant_db_pool::Config::new(self.url("parlant_migrator", FULL));
        parlant_schema::apply(&migrator, &ApplyOptions::default()).await.expect("the migrations");
    }

    /// What the first test left that wanted this template and was given up meanwhile.
    async fn drop_unfinished(&self, template: &str) {
        let admin = self.connect("postgres", "postgres").await;
        run(&admin, &format!("drop database if exists {template} with (force)")).await;
    }

    /// A connection URL; every role has the superuser's password.
    pub(crate) fn url(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}:{}@{}/{database}", self.cluster.password(), self.cluster.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.cluster.address()
    }

    pub(crate) async fn connect(&self, role: &str, database: &str) -> Client {
        let config: tokio_postgres::Config = self.url(role, database).parse().expect("our own URL");
        let (client, connection) = config.connect(NoTls).await.expect("a connection to our own PostgreSQL");
        tokio::spawn(connection);
        client
    }
}

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.expect(sql);
}
