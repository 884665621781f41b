use parlant_db_pool::Config;
use serde::Serialize;

use crate::apply::{ApplyOptions, Ran};
use crate::error::Error;
use crate::migrations::{File, Migrations};
use crate::observe::{LockMode, RelationLock, Seen, Witness};
use crate::runner::Session;
use crate::scratch::Scratch;
use crate::status::Status;

/// What `apply` would do, tried out in a scratch database.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The database as it is.
    pub status: Status,
    /// The pending files, in order.
    pub files: Vec<PlannedFile>,
}

/// What one pending file did in the scratch database.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedFile {
    /// Which file, and how long it took: the tables are empty there, so it is the least it can take.
    #[serde(flatten)]
    pub ran: Ran,
    /// False for a `-- no-transaction` file.
    pub transaction: bool,
    /// The strongest lock on each relation of `public`, strongest first.
    pub locks: Vec<RelationLock>,
    /// What somebody who reads or writes meanwhile would notice, in plain words.
    pub warnings: Vec<String>,
}

impl Migrations {
    /// Tries the pending files in a new database on the server of `scratch` (by default the same server, which
    /// needs CREATEDB) and reports the locks that they really took. The scratch copy is made by replaying the
    /// applied files; it has the schema and no rows. It is dropped in every case; one that a killed run left is
    /// dropped by a later `plan` an hour afterwards.
    ///
    /// When `interrupted` resolves, the work stops and the database is dropped at once;
    /// [`pending`](std::future::pending) never does.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] for a database that `apply` would refuse; [`Error::NoScratch`] without CREATEDB;
    /// [`Error::Failed`] for a file that does not work.
    pub async fn plan(
        &self,
        config: &Config,
        scratch: Option<&Config>,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Plan, Error> {
        let client = parlant_db_pool::connect(config).await?;
        let status = self.status(&client).await?.applicable()?;
        drop(client);
        if status.pending.is_empty() {
            return Ok(Plan { status, files: Vec::new() });
        }
        let server = scratch.unwrap_or(config);
        let scratch = Scratch::create(server, chrono::Utc::now()).await?;
        let inside = scratch.config(server);
        let tried = tokio::select! {
            biased;
            () = interrupted => Err(Error::Interrupted),
            tried = self.try_out(&inside, &status) => tried,
        };
        let removed = scratch.remove().await;
        let files = tried?;
        removed?;
        Ok(Plan { status, files })
    }

    async fn try_out(&self, scratch: &Config, status: &Status) -> Result<Vec<PlannedFile>, Error> {
        let mut client = parlant_db_pool::connect(scratch).await?;
        let mut witness = Witness::new(parlant_db_pool::connect(scratch).await?, &client).await?;
        let options = ApplyOptions::default();
        let (pending, applied): (Vec<&File>, Vec<&File>) =
            self.files.iter().partition(|file| status.pending.contains(&file.version));
        Session::prepare(&mut client, &options, true).await?.run(&applied).await?;
        let session = Session::prepare(&mut client, &options, true).await?.watched_by(&mut witness);
        let ran = session.run(&pending).await?;
        let planned = ran.into_iter().zip(&pending).zip(witness.seen).map(|((ran, file), seen)| {
            let transaction = !file.is_no_transaction();
            PlannedFile { warnings: warnings(&seen), ran, transaction, locks: seen.locks }
        });
        Ok(planned.collect())
    }
}

/// What a file does to people who use the tables meanwhile. New tables have no users yet.
fn warnings(seen: &Seen) -> Vec<String> {
    let mut warnings = Vec::new();
    for lock in seen.locks.iter().filter(|lock| lock.existed && lock.table) {
        let what = match lock.mode {
            LockMode::AccessExclusive => "nobody can read or write",
            LockMode::Share | LockMode::ShareRowExclusive | LockMode::Exclusive => "nobody can write",
            _ => continue,
        };
        warnings.push(format!("{what} {} until the file is done ({})", lock.relation, lock.mode.as_sql()));
    }
    for relation in &seen.rewritten {
        warnings.push(format!("every row of {relation} is written again: time and disk grow with its size"));
    }
    if !seen.complete {
        warnings.push("it never had to wait for a writer, so its locks may not all have been seen".to_owned());
    }
    warnings
}
