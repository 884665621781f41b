use std::collections::BTreeMap;
use std::fmt;

use crate::error::Error;
use crate::sql::{self, TableChange};

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
    files: Vec<refinery_core::Migration>,
}

impl Migrations {
    /// The files of the top-level directory `migrations/`, as they were when the program was built.
    ///
    /// # Panics
    /// When a file breaks a rule of `migrations/README.md`; a test keeps such a file from landing.
    #[must_use]
    pub fn embedded() -> Self {
        let files = embedded::migrations::runner().get_migrations().clone();
        #[expect(clippy::expect_used, reason = "a test of this crate loads the same files")]
        Self::checked(files).expect("the embedded migrations follow migrations/README.md")
    }

    /// A set of one's own: pairs of a name like `V1__first` and the file's text.
    ///
    /// # Errors
    /// [`Error::Malformed`] names the first file that breaks a rule of `migrations/README.md`.
    pub fn from_pairs<N: AsRef<str>, S: AsRef<str>>(pairs: impl IntoIterator<Item = (N, S)>) -> Result<Self, Error> {
        let files = pairs
            .into_iter()
            .map(|(name, text)| {
                refinery_core::Migration::unapplied(name.as_ref(), text.as_ref())
                    .map_err(|problem| Error::malformed(name.as_ref(), problem.to_string()))
            })
            .collect::<Result<_, _>>()?;
        Self::checked(files)
    }

    fn checked(mut files: Vec<refinery_core::Migration>) -> Result<Self, Error> {
        files.sort();
        for pair in files.windows(2) {
            if let [a, b] = pair
                && a.version() == b.version()
            {
                return Err(Error::malformed(b, format!("{a} has the same version")));
            }
        }
        for file in &files {
            check(file)?;
        }
        Ok(Self { files })
    }

    /// What refinery is given.
    pub(crate) fn files(&self) -> &[refinery_core::Migration] {
        &self.files
    }

    /// Whether a file of this set runs outside of a transaction.
    pub(crate) fn is_no_transaction(&self, version: &Version) -> bool {
        let file = self.files.iter().find(|file| file.version() == version.version);
        file.is_some_and(|file| sql::is_no_transaction(file.sql().unwrap_or_default()))
    }

    /// Every file's name and checksum, as `V1__first 1234567890`. The checksum is refinery's: it covers the
    /// name, the version and the whole text.
    pub fn checksums(&self) -> impl Iterator<Item = (String, u64)> {
        self.files.iter().map(|file| (file.to_string(), file.checksum()))
    }

    /// The bridge's tables that these files leave behind, each with the version that made it.
    pub(crate) fn tables(&self) -> BTreeMap<String, i32> {
        let mut tables = BTreeMap::new();
        for file in &self.files {
            for statement in sql::statements(file.sql().unwrap_or_default()) {
                match sql::table_change(&statement) {
                    Some(TableChange::Made(name)) => {
                        tables.insert(name, file.version());
                    }
                    Some(TableChange::Dropped(names)) => {
                        tables.retain(|name, _| !names.contains(name));
                    }
                    Some(TableChange::Renamed(old, new)) => {
                        tables.remove(&old);
                        tables.insert(new, file.version());
                    }
                    None => {}
                }
            }
        }
        tables.retain(|name, _| name.starts_with(PREFIX));
        tables
    }
}

/// Holds a file against the rules that the runner relies on.
fn check(file: &refinery_core::Migration) -> Result<(), Error> {
    let malformed = |reason: String| Err(Error::malformed(file, reason));
    // `U` files may be applied out of order, and the history does not tell them from `V` files.
    if !file.to_string().starts_with('V') {
        return malformed("its name must begin with V".to_owned());
    }
    let text = file.sql().unwrap_or_default();
    let statements = sql::statements(text);
    let concurrent = statements.iter().find_map(|statement| sql::concurrent_index(statement));
    if let Some(word) = statements.iter().find_map(|statement| sql::transaction_control(statement)) {
        return malformed(format!("`{word}`: the runner begins and ends the transaction"));
    }
    if !sql::is_no_transaction(text) {
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

impl From<&refinery_core::Migration> for Version {
    fn from(file: &refinery_core::Migration) -> Self {
        Self { version: file.version(), name: file.name().to_owned() }
    }
}
