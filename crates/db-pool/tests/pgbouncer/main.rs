//! The pool behind a PgBouncer that lends its server connections for one transaction at a time.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parlant_db_pool::{Client, Config, Error, Pool, Query, Type, connect};
use parlant_embedded_postgres::{Cluster, Installation, Options};
use tempfile::TempDir;
use tokio_postgres::SimpleQueryMessage;

/// Connections to the server, for however many clients.
const SERVER_CONNECTIONS: usize = 2;

static ADD: Query = Query {
    name: "add",
    sql: "-- add\ninsert into item (id, name) values ($1, $2) returning name",
    types: &[Type::INT4, Type::TEXT],
};
static NAME: Query = Query { name: "name", sql: "-- name\nselect name from item where id = $1", types: &[Type::INT4] };
static SLEEP: Query = Query { name: "sleep", sql: "-- sleep\nselect pg_sleep($1)", types: &[Type::FLOAT8] };
static TRANSACTION: Query =
    Query { name: "transaction", sql: "-- transaction\nselect pg_current_xact_id()::text", types: &[] };

/// A PostgreSQL with a PgBouncer in front.
struct Bouncer {
    cluster: Cluster,
    process: Child,
    address: SocketAddr,
    _files: TempDir,
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Bouncer {
    async fn start() -> Self {
        let installation = Installation::find(None).unwrap();
        let cluster = Cluster::start(&installation, Options::temporary()).await.unwrap();
        let client = connect(&Config::new(cluster.url("postgres"))).await.unwrap();
        client.batch_execute("create table item (id int4 primary key, name text not null)").await.unwrap();
        let files = tempfile::tempdir().unwrap();
        // Given to PgBouncer a moment later.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = spawn(&cluster, address, files.path());
        let bouncer = Self { cluster, process, address, _files: files };
        let start = Instant::now();
        while let Err(error) = connect(&bouncer.config()).await {
            assert!(start.elapsed() < Duration::from_secs(10), "PgBouncer does not answer: {error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bouncer
    }

    /// Through PgBouncer; the URL says so.
    fn config(&self) -> Config {
        let direct = self.cluster.url("postgres");
        let url = direct.replace(&self.cluster.address().to_string(), &self.address.to_string());
        let mut config = Config::new(format!("{url}?pgbouncer=true"));
        config.pool_size = 3;
        config.max_overflow = 3;
        config
    }

    /// Around PgBouncer.
    async fn direct(&self) -> Client {
        connect(&Config::new(self.cluster.url("postgres"))).await.unwrap()
    }
}

fn spawn(cluster: &Cluster, address: SocketAddr, files: &Path) -> Child {
    let write = |name: &str, content: &str| {
        let path = files.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    // Readable for the account that PgBouncer changes to.
    std::fs::set_permissions(files, std::fs::Permissions::from_mode(0o755)).unwrap();
    let users = write("users.txt", &format!("\"postgres\" \"{}\"\n", cluster.password()));
    let server = cluster.address();
    let settings = format!(
        "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\n",
        server.ip(),
        server.port(),
        address.ip(),
        address.port(),
    );
    let settings = write("pgbouncer.ini", &settings);
    let program = ["/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("pgbouncer");
    let mut command = Command::new(program);
    // It refuses to run as root.
    if files.metadata().unwrap().uid() == 0 {
        command.args(["-u", "nobody"]);
    }
    command
        .args(["-q", &settings])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}. Install the package `pgbouncer`."))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_clients_than_server_connections_all_succeed() {
    let bouncer = Bouncer::start().await;
    let pool = Pool::new(&bouncer.config()).unwrap();
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for round in 0..30 {
                    let (id, name) = (task * 1000 + round, format!("item {task} {round}"));
                    let row = pool.query_one(&ADD, &[&id, &name]).await?;
                    assert_eq!(row.get::<_, &str>(0), name);
                    let row = pool.query_one(&NAME, &[&id]).await?;
                    assert_eq!(row.get::<_, &str>(0), name);
                    let (one, two) = pool
                        .transaction("twice", async |transaction| {
                            let one = transaction.query_one(&TRANSACTION, &[]).await?;
                            let two = transaction.query_one(&TRANSACTION, &[]).await?;
                            Ok::<_, Error>((one.get::<_, String>(0), two.get::<_, String>(0)))
                        })
                        .await?;
                    assert_eq!(one, two, "one transaction");
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    pool.close().await;
}

#[tokio::test]
async fn statements_end_in_time_and_when_their_caller_goes() {
    let bouncer = Bouncer::start().await;
    let mut config = bouncer.config();
    config.command_timeout = Duration::from_millis(300);
    let pool = Pool::new(&config).unwrap();
    let observer = bouncer.direct().await;
    let error = pool.query(&SLEEP, &[&60_f64]).await.unwrap_err();
    assert!(matches!(error, Error::StatementTimeout), "{error:?}");
    until_nothing_sleeps(&observer).await;

    let abandoned = tokio::time::timeout(Duration::from_millis(100), pool.query(&SLEEP, &[&60_f64]));
    assert!(abandoned.await.is_err());
    until_nothing_sleeps(&observer).await;

    let result: Result<(), Error> =
        pool.transaction("sleep", async |transaction| transaction.query(&SLEEP, &[&60_f64]).await.map(drop)).await;
    assert!(matches!(result, Err(Error::StatementTimeout)), "{result:?}");
    until_nothing_sleeps(&observer).await;
    pool.close().await;
}

#[tokio::test]
async fn what_belongs_to_a_session_is_left_alone() {
    let bouncer = Bouncer::start().await;
    let pool = Pool::new(&bouncer.config()).unwrap();
    for _ in 0..10 {
        pool.query(&TRANSACTION, &[]).await.unwrap();
        let nothing = async |_| Ok::<_, Error>(());
        pool.transaction("nothing", nothing).await.unwrap();
    }
    pool.close().await;
    // Whoever is lent the server connections next.
    let next = connect(&bouncer.config()).await.unwrap();
    for sql in [
        "show statement_timeout",
        "show idle_in_transaction_session_timeout",
        "select count(*) from pg_prepared_statements",
    ] {
        let messages = next.simple_query(sql).await.unwrap();
        let value = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        assert_eq!(value, Some("0"), "{sql}");
    }
}

async fn until_nothing_sleeps(observer: &Client) {
    let start = Instant::now();
    loop {
        let sql = "select count(*) from pg_stat_activity where query like '-- sleep%' and state = 'active'";
        if observer.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "a statement still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
