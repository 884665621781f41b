use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Client;

use crate::error::Error;
use crate::migrations::{HISTORY, Migrations, Version};

const HISTORY_EXISTS: &str = "-- history_exists
select to_regclass('public.parlant_migrations') is not null";

const APPLIED: &str = "-- applied
select version, name, applied_on, checksum from public.parlant_migrations order by version";

const TABLES: &str = "-- tables
select c.relname::text
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p') and starts_with(c.relname::text, 'parlant_')";

/// How a database compares with a set of migrations. Reading it changes nothing.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The answer in one word.
    pub state: State,
    /// The history, oldest first.
    pub applied: Vec<Applied>,
    /// The files that `apply` would run, in order.
    pub pending: Vec<Version>,
    /// Why the state is `Diverged` or `Newer`.
    pub problems: Vec<Problem>,
    /// Each table that the files make, and the history; by name.
    pub tables: Vec<Table>,
}

/// What may be done with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everything is applied: serve.
    UpToDate,
    /// Files are waiting: `apply` first.
    Pending,
    /// The database is not what the files say: a person has to look.
    Diverged,
    /// A newer program has been here: use that one.
    Newer,
}

/// A row of the history.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// Which file.
    #[serde(flatten)]
    pub version: Version,
    /// When, by the clock of the machine that ran it; `None` if the history does not say it readably.
    pub applied_on: Option<DateTime<Utc>>,
}

/// A table that the files make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name in `public`.
    pub name: String,
    /// Whether the database has it.
    pub exists: bool,
}

/// One way in which a database is not what the files say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// An applied file has another text or name now.
    Edited(Version),
    /// An applied file is gone.
    Missing(Version),
    /// A file was applied that comes after all that this program knows.
    Newer(Version),
    /// A file was added below one that is applied already.
    OutOfOrder(Version),
    /// A table is gone although the file that makes it is applied.
    TableGone {
        /// Its name in `public`.
        name: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited(version) => write!(f, "{version} was applied with another text or name than this program has"),
            Self::Missing(version) => write!(f, "{version} was applied and is not in this program"),
            Self::Newer(version) => write!(f, "{version} was applied by a newer program"),
            Self::OutOfOrder(version) => write!(f, "{version} was added below a version that is already applied"),
            Self::TableGone { name } => {
                write!(f, "table {name} is gone although the migration that makes it is applied")
            }
        }
    }
}

impl Status {
    /// One sentence for an error or a log line.
    #[must_use]
    pub fn summary(&self) -> String {
        let problems = || self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match self.state {
            State::UpToDate => "the schema is up to date".to_owned(),
            State::Pending => {
                let names: Vec<_> = self.pending.iter().map(ToString::to_string).collect();
                format!("the schema is behind: {} to apply", names.join(", "))
            }
            State::Diverged => format!("the schema has diverged: {}", problems()),
            State::Newer => format!("the schema is newer than this program: {}", problems()),
        }
    }

    /// This status, if the files may be applied to the database.
    pub(crate) fn applicable(self) -> Result<Self, Error> {
        match self.state {
            State::UpToDate | State::Pending => Ok(self),
            State::Diverged | State::Newer => Err(Error::Unsuitable(Box::new(self))),
        }
    }
}

impl Migrations {
    /// Compares a database with these files. Needs SELECT on the history and nothing else.
    pub async fn status(&self, client: &Client) -> Result<Status, Error> {
        let mut history = Vec::new();
        if client.query_typed_one(HISTORY_EXISTS, &[]).await?.try_get(0)? {
            for row in client.query_typed(APPLIED, &[]).await? {
                let version = Version { version: row.try_get(0)?, name: row.try_get(1)? };
                let applied_on = row.try_get::<_, &str>(2)?.parse().ok();
                let checksum = row.try_get::<_, &str>(3)?.parse().ok();
                history.push((Applied { version, applied_on }, checksum));
            }
        }
        // Read after the history: a file and its row are committed together, so a run that ends meanwhile
        // can only add tables that the history does not yet promise.
        let tables = client.query_typed(TABLES, &[]).await?;
        let tables = tables.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok(self.compare(history, &tables))
    }

    /// The machine's check before serving and in CI: the schema, if it is exactly the one of these files.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] when it is behind, newer, or not what the files say.
    pub async fn verify(&self, client: &Client) -> Result<Status, Error> {
        let status = self.status(client).await?;
        match status.state {
            State::UpToDate => Ok(status),
            _ => Err(Error::Unsuitable(Box::new(status))),
        }
    }

    /// The rule behind [`status`](Self::status): history rows with their checksums (`None` if unreadable) and the
    /// names of the `parlant_` tables, against the files.
    fn compare(&self, history: Vec<(Applied, Option<u64>)>, tables: &BTreeSet<String>) -> Status {
        let mut problems = Vec::new();
        let files: BTreeMap<i32, _> = self.files.iter().map(|file| (file.version.version, file)).collect();
        let newest = files.keys().next_back().copied().unwrap_or(i32::MIN);
        for (applied, checksum) in &history {
            let version = applied.version.clone();
            match files.get(&version.version) {
                None if version.version > newest => problems.push(Problem::Newer(version)),
                None => problems.push(Problem::Missing(version)),
                Some(file)
                    if file.version == version && Some(file.checksum) == *checksum && applied.applied_on.is_some() => {}
                Some(_) => problems.push(Problem::Edited(version)),
            }
        }
        let done: BTreeSet<i32> = history.iter().map(|(applied, _)| applied.version.version).collect();
        let mut pending = Vec::new();
        for (number, file) in files.iter().filter(|(number, _)| !done.contains(number)) {
            if done.last().is_some_and(|last| number < last) {
                problems.push(Problem::OutOfOrder(file.version.clone()));
            } else {
                pending.push(file.version.clone());
            }
        }
        let mut expected = self.tables();
        // An older program does not know what a newer one has dropped or renamed.
        let newer = problems.iter().any(|problem| matches!(problem, Problem::Newer(_)));
        for (name, version) in &expected {
            if !newer && done.contains(version) && !tables.contains(name) {
                problems.push(Problem::TableGone { name: name.clone() });
            }
        }
        expected.insert(HISTORY.to_owned(), 0);
        Status {
            state: match problems.as_slice() {
                [] if pending.is_empty() => State::UpToDate,
                [] => State::Pending,
                all if all.iter().all(|problem| matches!(problem, Problem::Newer(_))) => State::Newer,
                _ => State::Diverged,
            },
            applied: history.into_iter().map(|(applied, _)| applied).collect(),
            pending,
            problems,
            tables: expected.into_keys().map(|name| Table { exists: tables.contains(&name), name }).collect(),
        }
    }
}
