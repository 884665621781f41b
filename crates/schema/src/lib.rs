//! The bridge's tables: the migrations embedded in the program, and the four things one can do with them.
//!
//! | function | does | changes |
//! | --- | --- | --- |
//! | [`status()`] | compares a database with the files | nothing |
//! | [`verify()`] | the same, as a check that fails: before serving, and in CI | nothing |
//! | [`Migrations::plan`] | tries the pending files in a scratch database and reports the locks they take | the scratch database |
//! | [`apply()`] | brings the database to the state of the files | the schema |
//!
//! ```no_run
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! use parlant_db_pool::Config;
//! use parlant_schema::{ApplyOptions, Error};
//!
//! let config = Config::new("postgres://parlant_migrator@localhost/sim");
//! match parlant_schema::apply(&config, &ApplyOptions::default()).await {
//!     Ok(report) => println!("{} files applied", report.applied.len()),
//!     Err(Error::Locked { holder: Some(holder), .. }) => println!("{holder} is at it"),
//!     Err(other) => return Err(other.into()),
//! }
//!
//! let client = parlant_db_pool::connect(&config).await?;
//! parlant_schema::verify(&client).await?;
//! # Ok(()) }
//! ```
//!
//! refinery embeds the files and decides what their checksums and the history, `public.parlant_migrations`, are like, so
//! its own tools read both. Running them is done here, for what it lacks: a lock that any number of runs may ask for at
//! once, files outside of a transaction (`-- no-transaction`, for `CREATE INDEX CONCURRENTLY`) with the repair of what a
//! killed one leaves, and time limits under which a migration gives way to the people who use the tables.
//!
//! # Adding a migration
//! Put `V<next>__<what_it_does>.sql` into `migrations/` and follow the `README.md` there; nothing here has to change.
//! Tests use a set of their own: [`Migrations::from_pairs`].

mod apply;
mod error;
mod indexes;
mod lock;
mod migrations;
mod observe;
mod plan;
mod runner;
mod scratch;
mod sql;
mod status;

pub use apply::{ApplyOptions, Ran, Report};
pub use error::{DatabaseError, Error};
pub use indexes::{DamagedIndex, IndexDamage};
pub use lock::Holder;
pub use migrations::{Migrations, Version};
pub use observe::{LockMode, RelationLock};
pub use plan::{Plan, PlannedFile};
pub use status::{Applied, Problem, State, Status, Table};

use parlant_db_pool::Config;
use tokio_postgres::Client;

/// [`Migrations::status`] of the embedded files.
pub async fn status(client: &Client) -> Result<Status, Error> {
    Migrations::embedded().status(client).await
}

/// [`Migrations::verify`] of the embedded files.
pub async fn verify(client: &Client) -> Result<Status, Error> {
    Migrations::embedded().verify(client).await
}

/// [`Migrations::apply`] of the embedded files.
pub async fn apply(config: &Config, options: &ApplyOptions) -> Result<Report, Error> {
    Migrations::embedded().apply(config, options).await
}
