use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Why a load test could not run. What happens while it runs is in its report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none that requests can be sent to.
    #[error("the address {0}")]
    Address(&'static str),
    /// The name has no address.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The target is another machine, and nobody said that it is meant.
    #[error(
        "{host} is {address}, not this machine: a load test may take a service down; --allow-remote if that is meant"
    )]
    Remote {
        /// As given.
        host: String,
        /// The first address that is not loopback.
        address: IpAddr,
    },
    /// Nobody listens there.
    #[error("cannot connect to {address}")]
    Unreachable {
        /// The last address that was tried.
        address: SocketAddr,
        /// What the system, or TLS, said.
        source: io::Error,
    },
    /// The operating system's certificate authorities are of no use.
    #[error("cannot use the certificate authorities of this machine")]
    Authorities(#[source] io::Error),
    /// A scenario sends a token, and there is none.
    #[error("the scenario {0:?} needs a token: --token-file, PARLANT_TOKEN or --dev")]
    NoToken(String),
    /// The token cannot be used. Does not show it.
    #[error("{0}")]
    Token(String),
    /// A file that is needed.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of scenarios does not say what it should; names the field, and the line where there is one.
    #[error("{}: {reason}", path.display())]
    Scenarios {
        /// Which.
        path: PathBuf,
        /// What is wrong where.
        reason: String,
    },
    /// A scenario, or the load that it is to be run with, makes no sense.
    #[error("the scenario {name:?}: {reason}")]
    Scenario {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}
