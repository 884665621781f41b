/// The client cannot be built like this.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address is none.
    #[error("must be an http:// or https:// address, a host and perhaps a path, without user or query")]
    BaseUrl,
    /// The token cannot be a header.
    #[error("PARLANT_API_TOKEN has characters that no header may have")]
    Token,
    /// The HTTP client cannot be made; on a machine without root certificates, for instance.
    #[error("the HTTP client cannot be set up; are root certificates installed?")]
    HttpClient(#[source] reqwest::Error),
}

/// Why the engine did not do what it was asked, and what to do about it. Holds no text of Parlant's: no traceback, no
/// headers, no message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or none that says anything about the request: try again later. It may have been done all the same.
    #[error("the engine cannot be reached or is failing")]
    Unreachable(#[source] Cause),
    /// The engine does not know the agent or session: never made, removed, or lost in a restart. Synchronise the agent
    /// and open the session again.
    #[error("the engine does not know the agent or session")]
    NotFound,
    /// The engine will never take this request: give up.
    #[error("the engine refuses the request: status {status}")]
    Rejected {
        /// The HTTP status.
        status: u16,
    },
}

/// What is behind [`Error::Unreachable`].
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The connection could not be made or broke.
    #[error("no connection")]
    Connection(#[source] reqwest::Error),
    /// The time was up; also when all of it was spent waiting for earlier requests.
    #[error("no answer in time")]
    Timeout,
    /// A status that tells of the server or the way there: 5xx, 429, a token that is wrong.
    #[error("status {0}")]
    Status(u16),
    /// More than anybody should answer.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// Not what Parlant answers.
    #[error("not the JSON that was expected")]
    Garbage,
}

impl Error {
    pub(crate) const fn garbage() -> Self {
        Self::Unreachable(Cause::Garbage)
    }
}
