//! What can be wrong with a configuration. Failures while serving are [`Cause`](crate::Cause)s.

/// The bridge cannot be built like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Sim itself refuses to start with a secret this short, so it cannot be Sim's.
    #[error("BETTER_AUTH_SECRET has fewer than 32 characters: it cannot be Sim's")]
    ShortSecret,
    /// A JWT names a user, and this source finds sessions alone.
    #[error("JWTs need a source that finds users by id, and {label:?} cannot: use AUTH_SOURCE=database")]
    JwtNeedsUsers {
        /// The label of the source.
        label: &'static str,
    },
    /// The address of Sim is not one.
    #[cfg(feature = "http")]
    #[error("SIM_BASE_URL must be http:// or https://, a host and perhaps a path, without user or query")]
    BaseUrl,
    /// The HTTP client cannot be made; on a machine without root certificates, for instance.
    #[cfg(any(feature = "http", feature = "jwt"))]
    #[error("the HTTP client cannot be set up; are root certificates installed?")]
    HttpClient(#[source] reqwest::Error),
    /// Not an algorithm that can be pinned.
    #[cfg(feature = "jwt")]
    #[error("JWT_ALGORITHM must be HS256, RS256, ES256 or EdDSA")]
    JwtAlgorithm,
    /// A secret with an algorithm of key pairs, or the other way round.
    #[cfg(feature = "jwt")]
    #[error("HS256 needs JWT_SECRET_KEY; RS256, ES256 and EdDSA need JWT_PUBLIC_KEY or JWT_JWKS_URL")]
    JwtKeyKind,
    /// RFC 7518 §3.2 asks for as many bits as the hash has.
    #[cfg(feature = "jwt")]
    #[error("JWT_SECRET_KEY has fewer than 32 bytes")]
    ShortJwtSecret,
    /// Not PEM, or not a key of the algorithm's kind.
    #[cfg(feature = "jwt")]
    #[error("JWT_PUBLIC_KEY is not a PEM public key of the kind that JWT_ALGORITHM needs")]
    JwtPublicKey,
    /// The address of the key set is not one.
    #[cfg(feature = "jwt")]
    #[error("JWT_JWKS_URL must be an http:// or https:// address")]
    JwksUrl,
}
