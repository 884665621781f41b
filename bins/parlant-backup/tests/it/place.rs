//! Starts the program as a script would.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use parlant_test_support::TestDatabase;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// A database, and a directory with the backups in `backups` and programs of our own in `bin`.
pub(crate) struct Place {
    pub(crate) database: TestDatabase,
    dir: TempDir,
}

/// What the program left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let place = Self { database: parlant_test_support::database().await, dir: TempDir::new().unwrap() };
        fs::create_dir(place.path("bin")).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Fills a table, so that a dump takes some time and some room.
    pub(crate) async fn fill(&self, rows: u32) {
        let sql = format!(
            "create table filling as select i, repeat(md5(i::text), 8) || random() as text from generate_series(1, {rows}) i"
        );
        self.database.superuser().await.batch_execute(&sql).await.unwrap();
    }

    /// Puts a script on the `PATH`, before everything else.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The program with nothing in its environment but what it needs, and no `.env` around.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlant-backup"));
        self.environment(&mut command);
        if arguments.first() == Some(&"restore") {
            // It makes databases, which the role that reads may not.
            command.env("DATABASE_URL", self.database.superuser_url());
        }
        command.args(arguments);
        command
    }

    pub(crate) fn environment(&self, command: &mut Command) {
        #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
        let (path, bin_dir) = (std::env::var("PATH").unwrap(), std::env::var_os("PG_BIN_DIR"));
        command
            .env_clear()
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .envs(bin_dir.map(|dir| ("PG_BIN_DIR", dir)))
            .env("DATABASE_URL", self.database.url_as("parlant_backup"))
            .env("BACKUP_DIR", self.path("backups"))
            .env("LOG_FORMAT", "text")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        end(self.program(arguments)).await
    }

    /// The files of backups, without the lock.
    pub(crate) fn files(&self) -> Vec<String> {
        files(&self.path("backups"))
    }
}

pub(crate) fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".lock");
    names.sort_unstable();
    names
}

pub(crate) async fn end(mut command: Command) -> Ended {
    let output = command.output().await.expect("the program");
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }
}
