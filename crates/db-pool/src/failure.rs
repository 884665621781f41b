use std::error::Error as _;
use std::io;

use tokio_postgres::error::SqlState;

use crate::target::Target;
use crate::{Config, ConfigError, Error};

/// What was in the way of a connection, for the one who has to remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No server has that name.
    UnknownHost,
    /// Nobody listens there.
    Refused,
    /// Somebody listens and does not answer, or nothing comes back at all.
    Silent,
    /// The network, or an answer that is none of PostgreSQL's.
    Network,
    /// Encryption: one side does not want it, or the certificate is not trusted.
    Tls,
    /// The password, or a role that does not exist: the server says the same to both.
    Password,
    /// `pg_hba.conf` has no line that admits this role, database and address.
    NotAdmitted,
    /// The role does not exist or may not log in.
    Role,
    /// There is no such database.
    NoDatabase,
    /// It may not connect to the database.
    NoConnect,
    /// Every connection that the server, the database or the role may have is taken.
    Full,
    /// The server starts, stops or recovers.
    NotReady,
    /// No server has the session attributes that are asked for, such as one that takes writes.
    WrongServer,
    /// The server refused for another reason.
    Other,
}

impl Error {
    /// What was in the way, when [`connect()`](crate::connect()) or the pool could not connect.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let cause = match self {
            Self::ConnectTimeout => return Some(Failure::Silent),
            Self::Connect(cause) => cause,
            _ => return None,
        };
        Some(cause.as_db_error().map_or_else(
            || without_answer(cause),
            |answer| {
                // The texts are in the server's language; the name of the function that made them is not.
                match (answer.code().code(), answer.routine()) {
                    ("28P01", _) => Failure::Password,
                    ("28000", Some("ClientAuthentication")) => Failure::NotAdmitted,
                    ("28000", _) => Failure::Role,
                    ("3D000", _) => Failure::NoDatabase,
                    ("42501", _) => Failure::NoConnect,
                    ("53300", _) => Failure::Full,
                    _ if *answer.code() == SqlState::CANNOT_CONNECT_NOW => Failure::NotReady,
                    _ => Failure::Other,
                }
            },
        ))
    }
}

/// The kinds of the driver's errors show in their texts alone.
fn without_answer(cause: &tokio_postgres::Error) -> Failure {
    let text = cause.to_string();
    if text.starts_with("error performing TLS handshake") {
        return Failure::Tls;
    }
    // The one thing that it misses on the way: the server asks for a password, and the URL has none.
    if text.starts_with("invalid configuration") {
        return Failure::Password;
    }
    let io = cause.source().and_then(|source| source.downcast_ref::<io::Error>());
    match io {
        // So says the standard library of what getaddrinfo answers.
        Some(io) if io.to_string().starts_with("failed to lookup address information") => Failure::UnknownHost,
        Some(io) if matches!(io.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Failure::Refused,
        Some(io) if io.kind() == io::ErrorKind::TimedOut => Failure::Silent,
        // tokio-postgres' own word for a session with other attributes.
        Some(io) if io.kind() == io::ErrorKind::PermissionDenied => Failure::WrongServer,
        _ => Failure::Network,
    }
}

impl Config {
    /// The servers that would be tried, in order: `host:port`, or the directory of a socket.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn addresses(&self) -> Result<Vec<String>, ConfigError> {
        Ok(Target::new(self)?.endpoints.iter().map(ToString::to_string).collect())
    }
}
