//! An archive through `pg_restore`: to nowhere, which reads every byte of it, or into a database.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;

use parlant_db_pool::Config;
use parlant_embedded_postgres::Program;

use crate::dump::Child;
use crate::progress::Reporter;
use crate::read::{Sink, decode};
use crate::store::blocking;
use crate::tools::command;
use crate::{Damage, Error, Manifest, Store};

/// As much of the beginning of a dump as its table of contents may take, in bytes: that of a hundred thousand tables.
const HEAD: usize = 64 * 1024 * 1024;

/// What large objects are called among the tables of a manifest.
const LARGE_OBJECTS: &str = "pg_largeobject";

/// What `pg_restore` says when it is not the dump's fault.
const NOT_ITS_FAULT: [&str; 5] = [
    "No space left on device",
    "connection to server",
    "server closed the connection",
    "terminating connection",
    "out of shared memory",
];

/// An archive, and all that it takes to read it.
pub(crate) struct Load<'a> {
    pub(crate) store: &'a Store,
    pub(crate) manifest: &'a Manifest,
    pub(crate) identity: Option<&'a Path>,
    pub(crate) tool: &'a Program,
    /// What `pg_restore` leaves out.
    pub(crate) without: &'a [&'static str],
    /// Indexes and constraints that are made at once.
    pub(crate) jobs: usize,
    pub(crate) progress: &'a Reporter,
}

impl Load<'_> {
    /// Reads everything, and has `pg_restore` read it; nothing is restored.
    pub(crate) async fn read(&self) -> Result<(), Error> {
        let command = self.command(&[], "--file=/dev/null");
        self.stream(command, None).await?.map_or(Ok(()), |reason| Err(self.damaged(Damage::Structure { reason })))
    }

    /// Restores everything into `database`, which is empty, and called `name`.
    ///
    /// The rows come through one pipe, in the one transaction that also makes the tables; then indexes and constraints
    /// are made side by side, which needs the table of contents alone. Against unpacking the dump to disk for
    /// `pg_restore --jobs` this was a little faster on 1 GB, and it needs no room.
    pub(crate) async fn restore(&self, database: &Config, name: &str) -> Result<(), Error> {
        let environment = database.libpq_environment().map_err(parlant_db_pool::Error::from)?;
        let target = format!("--dbname={name}");
        let head = unnamed_file(name)?;
        let mut rows = self.command(&environment, &target);
        rows.args(["--section=pre-data", "--section=data"]);
        // Each large object would hold a lock until the end of the transaction.
        if !self.manifest.tables.contains_key(LARGE_OBJECTS) {
            rows.arg("--single-transaction");
        }
        let copy = head.try_clone().map_err(Error::io("open", std::env::temp_dir()))?;
        self.judge(self.stream(rows, Some(copy)).await?)?;
        self.progress.step("Indexing", 0);
        let mut indexes = self.command(&environment, &target);
        indexes.args(["--section=post-data", &format!("--jobs={}", self.jobs), "/dev/stdin"]);
        let child = Child::start("pg_restore", indexes, head.into(), Stdio::null())?;
        match child.end(self.progress).await {
            Err(Error::Program { reason, .. }) => self.judge(Some(reason)),
            other => other,
        }
    }

    /// What `pg_restore` complained of is the dump's fault, or that of the place it is restored to.
    fn judge(&self, complaint: Option<String>) -> Result<(), Error> {
        match complaint {
            None => Ok(()),
            Some(reason) if NOT_ITS_FAULT.iter().any(|sign| reason.contains(sign)) => {
                Err(Error::program("pg_restore", reason))
            }
            Some(reason) => Err(self.damaged(Damage::Restore { reason })),
        }
    }

    /// Decodes the archive into the program; what the program complained of if it failed.
    async fn stream(&self, command: tokio::process::Command, head: Option<File>) -> Result<Option<String>, Error> {
        let archive = self.manifest.archive.clone();
        let source = match self.store.open(&archive.file).await {
            Err(error) if error.is_not_found() => return Err(self.damaged(Damage::Missing)),
            other => other?,
        };
        let (stdin, program) = io::pipe().map_err(Error::io("make a pipe for", &archive.file))?;
        let child = Child::start("pg_restore", command, stdin.into(), Stdio::null())?;
        let sink = Sink { program: Some(program), head, head_left: HEAD };
        let failed = self.store.failed("read", &archive.file);
        let (identity, progress) = (self.identity.map(Path::to_owned), self.progress.clone());
        let work = blocking(move || decode(source, failed, &archive, identity.as_deref(), sink, &progress));
        let (decoded, restored) = tokio::join!(work, child.end(self.progress));
        // What is wrong with the archive comes first: `pg_restore` only saw what came of it.
        if let Some(damage) = decoded? {
            return Err(self.damaged(damage));
        }
        match restored {
            Err(Error::Program { reason, .. }) => Ok(Some(reason)),
            other => other.map(|()| None),
        }
    }

    fn command(&self, environment: &[(&'static str, String)], target: &str) -> tokio::process::Command {
        let mut command = command(self.tool, environment);
        command.args(["--format=custom", "--exit-on-error", "--no-password", target]).args(self.without);
        command
    }

    fn damaged(&self, damage: Damage) -> Error {
        Error::Damaged { name: self.manifest.name.to_string(), damage }
    }
}

/// A file that is gone with the processes that have it open.
fn unnamed_file(name: &str) -> Result<File, Error> {
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(Error::io("create", &path))?;
    std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    Ok(file)
}
