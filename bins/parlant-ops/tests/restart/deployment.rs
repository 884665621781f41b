//! A database, the server's program, and what a deployment has around them.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parlant_test_support::{TestDatabase, database};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

/// The longest that anything here waits.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct Deployment {
    pub(crate) database: TestDatabase,
    /// The service's working directory, with its `.env`.
    pub(crate) directory: TempDir,
    pub(crate) token: String,
}

impl Deployment {
    pub(crate) async fn new(settings: &str) -> Self {
        let database = database().await;
        let sim = database.sim().await;
        let ada = sim.user("Ada").await;
        let token = sim.session(&ada).await;
        let directory = tempfile::tempdir().unwrap();
        let all =
            format!("DATABASE_URL={}\nHOST=127.0.0.1\nWORKERS=2\nRATE_LIMIT_BURST=0\n{settings}\n", database.url());
        fs::write(directory.path().join(".env"), all).unwrap();
        Self { database, directory, token }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// The server's program: the one that `PARLANT_SERVER` names, or the release's.
#[expect(clippy::disallowed_methods, reason = "where the program under test is, is the suite's to say")]
pub(crate) fn server_program() -> PathBuf {
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/parlant-server");
    let program = std::env::var_os("PARLANT_SERVER").map_or(release, PathBuf::from);
    fs::canonicalize(&program).unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

#[expect(clippy::disallowed_methods, reason = "fakes stand before the real programs")]
pub(crate) fn path_variable(first: &Path) -> String {
    format!("{}:{}", first.display(), std::env::var("PATH").unwrap())
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(30)).build().unwrap()
}

/// The `start_id` of the process that answers, over a connection of its own.
pub(crate) async fn start_id(url: &str) -> Option<String> {
    let answer = client().get(format!("{url}/livez")).send().await.ok()?;
    Some(answer.json::<Value>().await.ok()?["start_id"].as_str()?.to_owned())
}

/// Waits for what is some.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
