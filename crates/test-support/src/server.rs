use std::{env, net::SocketAddr, path::PathBuf};

use parlant_embedded_postgres::{Cluster, Installation, Options};
use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::{Client, NoTls};

/// The template of databases without tables.
const EMPTY: &str = "template_empty";

/// The template of databases with Sim's and the bridge's tables.
const FULL: &str = "template_full";

const ROLES: &str = include_str!("../../../deploy/sql/roles.sql");
const SIM_SCHEMA: &str = include_str!("../../auth-bridge/fixture/sim_schema.sql");

/// One PostgreSQL with the templates that test databases are copied from.
///
/// No connection outlives a call: every test has a runtime of its own, and a connection dies with it.
pub(crate) struct Server {
    cluster: Cluster,
    empty: OnceCell<()>,
    full: OnceCell<()>,
    /// PostgreSQL copies one database at a time from a template.
    copying: Mutex<u32>,
}

/// The server of this test process.
static SHARED: OnceCell<Server> = OnceCell::const_new();

impl Server {
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests are configured by the environment alone"
        )]
        let bin_dir = env::var_os("PG_BIN_DIR").filter(|value| !value.is_empty());
        let installation = Installation::find(bin_dir.map(PathBuf::from).as_deref())
            .expect("tests need PostgreSQL");
        let options = Options::temporary()
            .setting("max_connections", "300")
            .setting("jit", "off");
        let cluster = Cluster::start(&installation, options)
            .await
            .expect("a private PostgreSQL");
        Self {
            cluster,
            empty: OnceCell::new(),
            full: OnceCell::new(),
            copying: Mutex::new(0),
        }
    }

    /// A new database without tables, in which the roles may do what they may.
    pub(crate) async fn create_empty(&self) -> String {
        self.empty.get_or_init(|| self.make_empty()).await;
        self.create(EMPTY).await
    }

    /// A new database with every table.
    pub(crate) async fn create_full(&self) -> String {
        self.full.get_or_init(|| self.make_full()).await;
        self.create(FULL).await
    }

    async fn create(&self, template: &str) -> String {
        let mut count = self.copying.lock().await;
        *count += 1;
        let name = format!("test_{count}");
        let admin = self.connect("postgres", "postgres").await;
        run(
            &admin,
            &format!("create database {name} template {template}"),
        )
        .await;
        name
    }

    async fn make_empty(&self) {
        let admin = self.connect("postgres", "postgres").await;
        run(&admin, "drop database if exists template_empty").await;
        run(&admin, "create database template_empty template template0").await;
        let inside = self.connect("postgres", EMPTY).await;
        run(&inside, ROLES).await;
        run(&inside, "create role sim login").await;
        run(&inside, "grant usage, create on schema public to sim").await;
        for role in ["sim", "parlant_app", "parlant_migrator"] {
            let password = self.cluster.password();
            run(&inside, &format!("alter role {role} password '{password}'")).await;
        }
    }

    async fn make_full(&self) {
        self.empty.get_or_init(|| self.make_empty()).await;
        let admin = self.connect("postgres", "postgres").await;
        run(&admin, "drop database if exists template_full").await;
        run(
            &admin,
            "create database template_full template template_empty",
        )
        .await;
        run(&self.connect("sim", FULL).await, SIM_SCHEMA).await;
        run(&self.connect("postgres", FULL).await, ROLES).await;
        let migrator = parlant_db_pool::Config::new(self.url("parlant_migrator", FULL));
        parlant_schema::apply(&migrator, &parlant_schema::ApplyOptions::default())
            .await
            .expect("the migrations");
    }

    /// A connection URL; every role has the superuser's password.
    pub(crate) fn url(&self, role: &str, database: &str) -> String {
        let (address, password) = (self.cluster.address(), self.cluster.password());
        format!("postgresql://{role}:{password}@{address}/{database}")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.cluster.address()
    }

    pub(crate) async fn connect(&self, role: &str, database: &str) -> Client {
        let config: tokio_postgres::Config = self.url(role, database).parse().expect("our own URL");
        let (client, connection) = config
            .connect(NoTls)
            .await
            .expect("a connection to the private PostgreSQL");
        tokio::spawn(connection);
        client
    }
}

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.expect(sql);
}
