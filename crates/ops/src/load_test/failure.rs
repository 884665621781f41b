use std::error::Error;
use std::io;

use rustix::io::Errno;
use serde::{Serialize, Serializer};

/// What can go wrong with a request; the whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// Nobody listens.
    ConnectRefused,
    /// The time limit passed before there was a connection.
    ConnectTimeout,
    /// No connection for another reason.
    ConnectFailed,
    /// The TLS handshake failed, or the encrypted stream broke.
    Tls,
    /// The time limit passed before the answer was whole.
    Timeout,
    /// The other side reset the connection.
    Reset,
    /// The other side closed the connection before the answer was whole.
    Closed,
    /// What came is not HTTP.
    Protocol,
    /// This side ran out of sockets or ports: not the server's fault.
    Generator,
    /// A whole answer, with a status that the scenario does not expect.
    UnexpectedStatus,
}

impl Kind {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Generator => "generator",
            Self::UnexpectedStatus => "unexpected_status",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A request that failed, and why.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// In words; never anything that was sent.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// For `map_err` on an attempt to connect.
    pub(super) fn connect(error: &io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let kind = match error.kind() {
            _ if matches!(errno, Some(Errno::MFILE | Errno::NFILE)) => Kind::Generator,
            io::ErrorKind::AddrNotAvailable => Kind::Generator,
            io::ErrorKind::ConnectionRefused => Kind::ConnectRefused,
            io::ErrorKind::TimedOut => Kind::ConnectTimeout,
            _ => Kind::ConnectFailed,
        };
        Self::new(kind, error.to_string())
    }

    /// For `map_err` on an exchange.
    pub(super) fn exchange(error: &hyper::Error) -> Self {
        let mut causes = vec![error.to_string()];
        let mut kind = None;
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            kind = kind.or_else(|| cause.downcast_ref().map(io_kind));
            next = cause.source();
        }
        // Messages of hyper repeat their cause.
        causes.dedup_by(|inner, outer| outer.ends_with(inner.as_str()));
        let otherwise = if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            Kind::Closed
        } else {
            Kind::Protocol
        };
        Self::new(kind.unwrap_or(otherwise), causes.join(": "))
    }
}

fn io_kind(error: &io::Error) -> Kind {
    match error.kind() {
        _ if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) => Kind::Tls,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => Kind::Reset,
        io::ErrorKind::UnexpectedEof => Kind::Closed,
        io::ErrorKind::TimedOut => Kind::Timeout,
        _ => Kind::Protocol,
    }
}
