use std::collections::BTreeMap;
use std::fmt;

use refinery::Migration;

use crate::error::Error;
use crate::sql::{self, Statement, TableChange};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// The tables of the bridge share this prefix (`docs/reference/`), so that they never meet one of Sim's.
pub(crate) const PREFIX: &str = "parlant_";

/// Where the applied migrations are written down.
pub(crate) const HISTORY: &str = "parlant_migrations";

/// A set of migrations in the order of their versions, checked to be fit for the runner.
#[derive(Debug, Clone)]
pub struct Migrations {
    pub(crate) files: Vec<File>,
}

/// A migration.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) version: Version,
    pub(crate) text: String,
    /// refinery's: it covers the name, the version and the whole text.
    pub(crate) checksum: u64,
}

impl Migrations {
    /// The files of the top-level directory `migrations/`, as they were when the program was built.
    ///
    /// # Panics
    /// When a file breaks a rule of `migrations/README.md`; a test keeps such a file from landing.
    #[must_use]
    pub fn embedded() -> Self {
        let files = embedded::migrations::runner().get_migrations().iter().map(File::new).collect();
        #[expect(clippy::expect_used, reason = "a test of this crate loads the same files")]
        Self::checked(files).expect("the embedded migrations follow migrations/README.md")
    }

    /// A set of one's own: pairs of a name like `V1__first` and the file's text.
    ///
    /// # Errors
    /// [`Error::Malformed`] names the first file that breaks a rule of `migrations/README.md`.
    pub fn from_pairs<N: AsRef<str>, S: AsRef<str>>(pairs: impl IntoIterator<Item = (N, S)>) -> Result<Self, Error> {
        let read = |(name, text): (N, S)| match Migration::unapplied(name.as_ref(), text.as_ref()) {
            Ok(file) => File::new(&file),
            Err(problem) => Err(Error::malformed(name.as_ref(), problem.to_string())),
        };
        Self::checked(pairs.into_iter().map(read).collect())
    }

    fn checked(files: Result<Vec<File>, Error>) -> Result<Self, Error> {
        let mut files = files?;
        files.sort_by_key(|file| file.version.version);
        for pair in files.windows(2) {
            if let [a, b] = pair
                && a.version.version == b.version.version
            {
                return Err(Error::malformed(&b.version, format!("{} has the same version", a.version)));
            }
        }
        for file in &files {
            check(file)?;
        }
        Ok(Self { files })
    }

    /// Every file's name and checksum, as `V1__first 1234567890`. The checksum is refinery's: it covers the
    /// name, the version and the whole text.
    pub fn checksums(&self) -> impl Iterator<Item = (String, u64)> {
        self.files.iter().map(|file| (file.version.to_string(), file.checksum))
    }

    /// The bridge's tables that these files leave behind, each with the version that made it.
    pub(crate) fn tables(&self) -> BTreeMap<String, i32> {
        let mut tables = BTreeMap::new();
        for file in &self.files {
            let version = file.version.version;
            for change in sql::statements(&file.text).iter().filter_map(Statement::table_change) {
                match change {
                    TableChange::Made(name) => drop(tables.insert(name, version)),
                    TableChange::Dropped(names) => tables.retain(|name, _| !names.contains(name)),
                    TableChange::Renamed(old, new) => {
                        tables.remove(&old);
                        tables.insert(new, version);
                    }
                }
            }
        }
        tables.retain(|name, _| name.starts_with(PREFIX));
        tables
    }
}

impl File {
    /// # Errors
    /// For `U` files: they may be applied out of order, and the history does not tell them from `V` files.
    fn new(file: &Migration) -> Result<Self, Error> {
        if !file.to_string().starts_with('V') {
            return Err(Error::malformed(file, "its name must begin with V"));
        }
        let version = Version { version: file.version(), name: file.name().to_owned() };
        Ok(Self { version, text: file.sql().unwrap_or_default().to_owned(), checksum: file.checksum() })
    }

    /// Whether it runs outside of a transaction.
    pub(crate) fn is_no_transaction(&self) -> bool {
        sql::is_no_transaction(&self.text)
    }
}

/// Holds a file against the rules that the runner relies on.
fn check(file: &File) -> Result<(), Error> {
    let malformed = |reason: String| Err(Error::malformed(&file.version, reason));
    let statements = sql::statements(&file.text);
    let concurrent = statements.iter().find_map(Statement::concurrent_index);
    if let Some(word) = statements.iter().find_map(Statement::transaction_control) {
        return malformed(format!("`{word}`: the runner begins and ends the transaction"));
    }
    if !file.is_no_transaction() {
        return match concurrent {
            Some(_) => malformed("CREATE INDEX CONCURRENTLY needs `-- no-transaction` as the first line".to_owned()),
            None => Ok(()),
        };
    }
    if statements.len() != 1 {
        return malformed(format!(
            "a `-- no-transaction` file has exactly one statement, because PostgreSQL runs several in a \
             transaction of their own; this one has {}",
            statements.len()
        ));
    }
    match concurrent {
        Some(index) if index.name.is_none() || !index.if_not_exists => malformed(
            "write CREATE INDEX CONCURRENTLY IF NOT EXISTS and a name, so that it can be run again".to_owned(),
        ),
        _ => Ok(()),
    }
}

/// One file of the set, or one row of the history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Version {
    /// The number behind the `V`.
    pub version: i32,
    /// The name behind the `__`.
    pub name: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{}__{}", self.version, self.name)
    }
}
