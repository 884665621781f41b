//! A live deployment: PostgreSQL behind a network that fails, the real server, and stand-ins for Sim, the engine and Slack.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use parlant_test_support::{ChaosProxy, TestDatabase, database};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command as Program};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::stand_in::{ENGINE, SIM, StandIn};

/// The longest that anything here waits; a healthy machine needs a fraction.
const PATIENCE: Duration = Duration::from_secs(90);

/// Secrets that nothing may show.
pub(crate) const SECRET: &str = "canary-better-auth-secret-of-32-characters";
const WEBHOOK: &str = "canary-webhook";
const METRICS: &str = "canary-metrics";
const ENGINE_TOKEN: &str = "canary-engine";

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) superuser: Client,
    /// The server's own role, so that it can be changed.
    pub(crate) role: String,
    pub(crate) database_proxy: ChaosProxy,
    pub(crate) sim: StandIn,
    pub(crate) sim_proxy: ChaosProxy,
    pub(crate) engine: StandIn,
    pub(crate) engine_proxy: ChaosProxy,
    pub(crate) webhook_proxy: ChaosProxy,
    pub(crate) directory: TempDir,
    pub(crate) server: Child,
    pub(crate) address: SocketAddr,
    /// What the doctor is started with.
    pub(crate) environment: BTreeMap<&'static str, String>,
    pub(crate) arguments: Vec<String>,
    /// What else must not be shown.
    pub(crate) secrets: Vec<String>,
    /// What the fault needs to last.
    pub(crate) connections: Vec<Client>,
    pub(crate) stand_ins: Vec<StandIn>,
    pub(crate) callers: JoinSet<()>,
    /// Processes of PostgreSQL's that are to go on afterwards.
    pub(crate) stopped: Vec<i32>,
    pub(crate) mounts: Vec<PathBuf>,
    pub(crate) groups: Vec<PathBuf>,
    _webhook: StandIn,
}

/// Where the programs are.
pub(crate) fn bin(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the suite says which programs are looked at")]
    let given = std::env::var_os("PARLANT_BIN_DIR").map(PathBuf::from);
    let path = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release")).join(name);
    assert!(path.is_file(), "{}: e2e/doctor/run says how to build it", path.display());
    path.canonicalize().unwrap()
}

/// A verified backup, made once and copied.
async fn backup() -> &'static Path {
    static BACKUP: OnceCell<TempDir> = OnceCell::const_new();
    let made = BACKUP.get_or_init(|| async {
        let directory = tempfile::tempdir().unwrap();
        let output = run_backup(directory.path(), &["run"], &[]).await;
        assert!(output.status.success(), "{output:?}");
        directory
    });
    made.await.path()
}

/// `parlant-backup` on a database of its own.
pub(crate) async fn run_backup(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let database = database().await;
    let mut program = Program::new(bin("parlant-backup"));
    program.args(arguments).current_dir(directory).envs(environment.iter().copied());
    program.env("DATABASE_URL", database.url_as("parlant_backup")).env("BACKUP_DIR", directory);
    program.output().await.unwrap()
}

impl World {
    /// One in which nothing is wrong, with these settings more.
    pub(crate) async fn new(more: &[(&'static str, &str)]) -> Self {
        let database = database().await;
        let superuser = database.superuser().await;
        let role = format!("app_{}", database.name());
        let password = database.url().split([':', '@']).nth(2).unwrap().to_owned();
        let make = format!("create role {role} login in role parlant_app password '{password}'");
        superuser.batch_execute(&make).await.unwrap();
        let (sim, engine, webhook) =
            tokio::join!(StandIn::start(SIM), StandIn::start(ENGINE), StandIn::start(&[("/", 200, "ok")]));
        let (database_proxy, sim_proxy, engine_proxy, webhook_proxy) = tokio::join!(
            ChaosProxy::start(database.address()),
            ChaosProxy::start(sim.address),
            ChaosProxy::start(engine.address),
            ChaosProxy::start(webhook.address),
        );
        let directory = tempfile::tempdir().unwrap();
        let backups = directory.path().join("backups");
        fs::create_dir(&backups).unwrap();
        for file in fs::read_dir(backup().await).unwrap().flatten() {
            fs::copy(file.path(), backups.join(file.file_name())).unwrap();
        }
        let url =
            database.url_as(&role).replace(&database.address().to_string(), &database_proxy.address().to_string());
        let mut environment: BTreeMap<_, _> = [
            ("DATABASE_URL", url),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("WORKERS", "1".to_owned()),
            ("HEALTH_CHECK_INTERVAL", "1s".to_owned()),
            ("BETTER_AUTH_SECRET", SECRET.to_owned()),
            ("METRICS_TOKEN", METRICS.to_owned()),
            ("SIM_BASE_URL", format!("http://{}", sim_proxy.address())),
            ("PARLANT_BASE_URL", format!("http://{}", engine_proxy.address())),
            ("PARLANT_API_TOKEN", ENGINE_TOKEN.to_owned()),
            ("SLACK_WEBHOOK_URL", format!("http://{}/services/{WEBHOOK}", webhook_proxy.address())),
            ("BACKUP_DIR", backups.display().to_string()),
            ("LOG_FILE", directory.path().join("log/server.log").display().to_string()),
        ]
        .into();
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let log = directory.path().join("output");
        let output = File::create(&log).unwrap();
        let mut server = Program::new(bin("parlant-server"));
        server.arg("serve").current_dir(directory.path()).env_clear().envs(&environment).kill_on_drop(true);
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn().unwrap();
        let address = until("serving", async || serving(&fs::read_to_string(&log).unwrap())).await;
        environment.insert("PORT", address.port().to_string());
        let world = Self {
            secrets: vec![password, "canary".to_owned(), "@example.com".to_owned()],
            database,
            superuser,
            role,
            database_proxy,
            sim,
            sim_proxy,
            engine,
            engine_proxy,
            webhook_proxy,
            directory,
            server,
            address,
            environment,
            arguments: Vec::new(),
            connections: Vec::new(),
            stand_ins: Vec::new(),
            callers: JoinSet::new(),
            stopped: Vec::new(),
            mounts: Vec::new(),
            groups: Vec::new(),
            _webhook: webhook,
        };
        until("healthy", async || world.report().await.filter(|report| report["status"] == "healthy")).await;
        world
    }

    /// What the server sees.
    pub(crate) async fn report(&self) -> Option<Value> {
        let url = format!("http://{}/api/v1/health/detailed?fresh=true", self.address);
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        client.get(url).send().await.ok()?.json().await.ok()
    }

    /// Waits until one of its checks is not healthy.
    pub(crate) async fn until_seen(&self, check: &str) {
        until(check, async || self.report().await.filter(|report| report["checks"][check]["status"] != "healthy"))
            .await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.id().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn sql(&self, sql: &str) {
        // One by one: what runs concurrently allows no others beside it.
        for one in sql.split(';').map(str::trim).filter(|one| !one.is_empty()) {
            self.superuser.batch_execute(one).await.expect(one);
        }
    }

    /// A session of the server's own role.
    pub(crate) async fn connect(&self) -> Client {
        let url = self.database.url_as(&self.role);
        parlant_db_pool::connect(&parlant_db_pool::Config::new(url)).await.unwrap()
    }

    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.insert(name, value.into());
    }

    /// The doctor looks.
    pub(crate) async fn doctor(&self, more: &[&str]) -> Output {
        let mut doctor = Program::new(bin("parlant-ops"));
        doctor.arg("doctor").args(&self.arguments).args(more).current_dir(self.directory.path());
        doctor.env_clear().envs(&self.environment).stdin(Stdio::null()).kill_on_drop(true);
        tokio::time::timeout(PATIENCE, doctor.output()).await.expect("it ends").unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.start_kill();
        for pid in self.stopped.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = kill_process(pid, Signal::CONT);
        }
        for mount in &self.mounts {
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
        }
        let (end, groups) = (Instant::now() + Duration::from_secs(5), &self.groups);
        // The kernel lets go of a group when the processes in it are gone.
        while groups.iter().any(|group| group.exists() && fs::remove_dir(group).is_err()) && Instant::now() < end {
            let _ = self.server.try_wait();
            std::thread::yield_now();
        }
    }
}

fn serving(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(r#""message":"Serving""#))?;
    serde_json::from_str::<Value>(line).ok()?["address"].as_str()?.parse().ok()
}

pub(crate) async fn until<T>(what: &str, mut find: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find().await {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
