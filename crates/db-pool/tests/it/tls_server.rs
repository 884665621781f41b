//! A PostgreSQL that shows any certificate, and what libpq makes of it.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use parlant_db_pool::{Client, Config, SslMode, connect};
use parlant_embedded_postgres::{Cluster, Installation, Options};
use tempfile::TempDir;

use crate::certificates::{Authority, Identity};

pub(crate) const MODES: [SslMode; 6] =
    [SslMode::Disable, SslMode::Allow, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];

/// What the server shows, the host name asked for, the trusted roots (may be empty for none), and the outcome:
/// one letter for each of [`MODES`], `T`LS, `P`lain or refused (`X`).
pub(crate) type Case<'a> = (&'a str, Identity, &'a str, String, &'a str);

/// A PostgreSQL whose TLS can be changed while it runs.
pub(crate) struct Server {
    pub(crate) cluster: Cluster,
    installation: Installation,
    /// Over the unix socket.
    pub(crate) admin: Client,
    data: PathBuf,
    /// For root certificates; also psql's home, so that nobody's `~/.postgresql` plays a part.
    pub(crate) files: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let installation = Installation::find(None).unwrap();
        let cluster = Cluster::start(&installation, Options::temporary()).await.unwrap();
        let admin = connect(&Config::new(socket_url(&cluster))).await.unwrap();
        let data = show(&admin, "data_directory").await;
        Self { cluster, installation, admin, data: data.into(), files: tempfile::tempdir().unwrap() }
    }

    /// `kind` of `pg_hba.conf` lines are let in: `host`, `hostssl` or `hostnossl`.
    pub(crate) async fn become_(&self, identity: Option<&Identity>, kind: &str) {
        if let Some(identity) = identity {
            self.write("server.crt", &identity.chain);
            self.write("server.key", &identity.key);
        }
        let rules = format!("local all all trust\n{kind} all all 127.0.0.1/32 scram-sha-256\n");
        self.write("pg_hba.conf", &rules);
        let ssl = if identity.is_some() { "on" } else { "off" };
        self.set("ssl", ssl).await;
        self.reload().await;
    }

    pub(crate) async fn set(&self, name: &str, value: &str) {
        let sql = format!("alter system set {name} = '{value}'");
        self.admin.batch_execute(&sql).await.unwrap();
    }

    async fn reload(&self) {
        let before = self.loaded().await;
        self.admin.batch_execute("select pg_sleep(0.001), pg_reload_conf()").await.unwrap();
        // A new connection has what the postmaster has.
        while self.loaded().await == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn loaded(&self) -> String {
        let client = connect(&Config::new(socket_url(&self.cluster))).await.unwrap();
        let row = client.query_one("select pg_conf_load_time()::text", &[]).await;
        row.unwrap().get(0)
    }

    /// As the server wants it: its own, and nobody else's.
    fn write(&self, name: &str, content: &str) {
        let path = self.data.join(name);
        std::fs::write(&path, content).unwrap();
        let owner = std::fs::metadata(&self.data).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn roots(&self, pem: &str) -> PathBuf {
        let path = self.files.path().join("roots.pem");
        std::fs::write(&path, pem).unwrap();
        path
    }

    pub(crate) fn dsn(&self, host: &str, mode: SslMode, roots: Option<&Path>) -> String {
        let port = self.cluster.address().port();
        let roots = roots.map_or_else(String::new, |path| format!(" sslrootcert='{}'", path.display()));
        format!("host='{host}' hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres sslmode={mode}{roots}")
    }

    /// What we do: `T`LS, `P`lain, or refused (`X`).
    async fn ours(&self, host: &str, mode: SslMode, roots: Option<&Path>) -> char {
        let dsn = format!("{} password={}", self.dsn(host, mode, roots), self.cluster.password());
        match connect(&Config::new(dsn)).await {
            Err(_) => 'X',
            Ok(client) => {
                let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
                if client.query_one(sql, &[]).await.unwrap().get(0) { 'T' } else { 'P' }
            }
        }
    }

    /// What libpq does, if psql is here to ask.
    async fn libpq(&self, host: &str, mode: SslMode, roots: Option<&Path>) -> Option<char> {
        let psql = self.installation.bin_dir().join("psql");
        if !psql.exists() {
            return None;
        }
        let output = tokio::process::Command::new(psql)
            .env_clear()
            .env("HOME", self.files.path())
            .env("PGPASSWORD", self.cluster.password())
            .arg(self.dsn(host, mode, roots))
            .args(["-XAtc", "select ssl from pg_stat_ssl where pid = pg_backend_pid()"])
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        Some(match String::from_utf8_lossy(&output.stdout).trim() {
            "t" => 'T',
            "f" => 'P',
            _ => 'X',
        })
    }

    /// Shows `identity` to all, and returns where the outcome is not the expected one.
    pub(crate) async fn try_identity(&self, case: &Case<'_>) -> Vec<String> {
        self.become_(Some(&case.1), "host").await;
        self.try_modes(case.0, case.2, &case.3, case.4).await
    }

    /// What went wrong; `expected` has one letter for each of [`MODES`], `roots` may be empty for none.
    pub(crate) async fn try_modes(&self, case: &str, host: &str, roots: &str, expected: &str) -> Vec<String> {
        let roots = (!roots.is_empty()).then(|| self.roots(roots));
        let mut wrong = Vec::new();
        for (mode, expected) in MODES.into_iter().zip(expected.chars()) {
            let (ours, libpq) =
                tokio::join!(self.ours(host, mode, roots.as_deref()), self.libpq(host, mode, roots.as_deref()));
            if ours != expected || libpq.is_some_and(|libpq| libpq != expected) {
                wrong.push(format!("{case}, {mode}: {ours}, libpq {libpq:?}, expected {expected}"));
            }
        }
        wrong
    }
}

/// Tries each case on a server of its own.
pub(crate) async fn try_all(cases: Vec<Case<'_>>) {
    let server = Server::start().await;
    let mut wrong = Vec::new();
    for case in &cases {
        wrong.extend(server.try_identity(case).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.cluster.stop().await;
}

fn socket_url(cluster: &Cluster) -> String {
    let directory = cluster.socket_dir().display();
    let (port, password) = (cluster.address().port(), cluster.password());
    format!("host='{directory}' port={port} user=postgres dbname=postgres password={password}")
}

async fn show(client: &Client, name: &str) -> String {
    let row = client.query_one(&format!("show {name}"), &[]).await;
    row.unwrap().get(0)
}

pub(crate) fn pem(authorities: &[&Authority]) -> String {
    authorities.iter().map(|authority| authority.pem()).collect()
}
