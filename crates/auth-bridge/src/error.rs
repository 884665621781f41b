//! What can be wrong with a configuration. Failures while serving are [`Cause`](crate::Cause)s.

/// The bridge cannot be built like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Sim itself refuses to start with a secret this short, so it cannot be Sim's.
    #[error("BETTER_AUTH_SECRET has fewer than 32 characters: it cannot be Sim's")]
    ShortSecret,
    /// A JWT names a user, and this source finds sessions alone.
    #[error(
        "JWTs need a source that finds users by id, and {label:?} cannot: use AUTH_SOURCE=database"
    )]
    JwtNeedsUsers {
        /// The label of the source.
        label: &'static str,
    },
}
