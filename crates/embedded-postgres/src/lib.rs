//! A private PostgreSQL cluster from the binaries that the system has installed.
//!
//! ```no_run
//! use parlant_embedded_postgres::{Cluster, Installation, Options};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let installation = Installation::find(None)?;
//! let cluster = Cluster::start(&installation, Options::persistent(".parlant")).await?;
//! println!("{}", cluster.url("postgres"));
//! cluster.stop().await;
//! # Ok(())
//! # }
//! ```

mod account;
mod cluster;
mod error;
mod home;
mod installation;
mod lock;
mod memory;
mod not_found;
mod options;
mod supervisor;

pub use cluster::Cluster;
pub use error::Error;
pub use installation::Installation;
pub use not_found::NotFound;
pub use options::Options;
