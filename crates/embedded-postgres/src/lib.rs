//! A private PostgreSQL from the programs that this system has installed: for development servers, tests
//! and trial restores. Nothing is downloaded, nothing of a system-wide PostgreSQL is touched.
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
//!
//! A cluster listens on 127.0.0.1 and on a unix socket, to those who have its random password
//! (`scram-sha-256`). It is UTF-8 with the locale `C`, in UTC, of version 14 to 18. Unix only.
//!
//! # It ends with its owner
//! The owner is the process that called [`Cluster::start`]. PostgreSQL is the child of a small shell
//! script (`supervise.sh`), which reads from a pipe that only the owner can write to. When the owner
//! ends, also by `kill -9`, the kernel closes the pipe, and the script stops PostgreSQL and removes what
//! was temporary. Script and PostgreSQL are in a process group of their own, so that Ctrl-C in a terminal
//! reaches the owner alone, who stops PostgreSQL when it is done with it.
//!
//! # It has one owner
//! Two locks that the kernel keeps guard a persistent cluster. `owner.lock` in the requested directory is
//! the owner's: a second one is refused, with the process id of the first. `cluster/running.lock` is held
//! by every process of a running PostgreSQL, which inherit it: the next owner waits for it, so what a
//! killed owner left is never started twice, but stopped, and then recovered by PostgreSQL itself.
//!
//! # It never runs as root
//! As root, a cluster belongs to the account `postgres`, or else `nobody`; one that exists goes on as the
//! account that owns it. A requested directory which that account cannot reach (root's home) gets a
//! symlink, and the cluster goes to a private directory below `/var/tmp`; [`Cluster::remove`] follows.
//!
//! # Why not a crate that does this
//! Four were weighed. `pg-embed` downloads the programs when it runs. `postgresql_embedded` can take
//! installed ones, but leaves the change away from root to its caller and brings sqlx (168 crates).
//! `pgtemp` takes installed ones and changes away from root with `sudo`, which containers rarely have.
//! `pglite-oxide` is PostgreSQL as WebAssembly (360 crates) and not the server that deployments run.
//! The first three stop PostgreSQL when a value is dropped, which a killed process never does.
//!
//! # Extending
//! A new place to look for the programs is a line in `program.rs`; a new system's package is a line
//! in `not_found.rs`; a new major version is a number in `installation.rs` after `e2e/postgres-versions`
//! has passed with it.

mod account;
mod attempt;
mod cluster;
mod error;
mod home;
mod installation;
mod lock;
mod memory;
mod not_found;
mod options;
mod program;
mod supervisor;

pub use cluster::Cluster;
pub use error::Error;
pub use installation::Installation;
pub use not_found::NotFound;
pub use options::Options;
pub use program::{Program, major_version, program_dirs};
