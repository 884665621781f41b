/// Why Sim cannot be asked how it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("must be an http or https address")]
    Address,
    /// This machine has no root certificates to check servers with.
    #[error("no HTTP client can be made")]
    HttpClient(#[from] reqwest::Error),
}
