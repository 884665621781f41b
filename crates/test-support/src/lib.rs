//! What the tests of every crate share. Only ever a dev-dependency.
//!
//! | need | take |
//! | --- | --- |
//! | a database with Sim's and the bridge's tables | [`database()`] |
//! | a database without any | [`empty_database()`] |
//! | people, workspaces and sessions as Sim writes them | [`TestDatabase::sim`] |
//! | Sim's tables as the server reads them | [`SimTables`] |
//! | a network that fails | [`ChaosProxy`] |
//!
//! ```no_run
//! # async fn example() {
//! let database = parlant_test_support::database().await;
//! let sim = database.sim().await;
//! let ada = sim.user("Ada").await;
//! let workspace = sim.workspace(&ada).await;
//! let token = sim.session(&ada).await;
//! println!("{} {workspace} {token}", database.url());
//! # }
//! ```
//!
//! The databases are on one private PostgreSQL per test process, which starts with the first of them
//! and is gone with the process. `PG_BIN_DIR` chooses its version. Nothing here returns errors: a
//! database that cannot be had is a failed test.
#![expect(clippy::expect_used, reason = "a database that cannot be had is a failed test")]

mod chaos;
mod database;
mod server;
mod sim;
mod sim_tables;

pub use chaos::ChaosProxy;
pub use database::{TestDatabase, database, empty_database};
pub use sim::{Sim, signed, signed_cookie};
pub use sim_tables::SimTables;
