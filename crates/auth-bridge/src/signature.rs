//! Better Auth's signature over a session token: HMAC-SHA256 with the secret's UTF-8 bytes, in padded base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::ConfigError;

/// Sim refuses to start with less.
const SECRET_MIN: usize = 32;

/// Signs and checks session tokens with one secret.
pub(crate) struct Signer {
    keyed: Hmac<Sha256>,
}

impl Signer {
    pub(crate) fn new(secret: &SecretString) -> Result<Self, ConfigError> {
        let secret = secret.expose_secret();
        if secret.chars().count() < SECRET_MIN {
            return Err(ConfigError::ShortSecret);
        }
        let keyed = Hmac::new_from_slice(secret.as_bytes()).map_err(|_| ConfigError::ShortSecret)?;
        Ok(Self { keyed })
    }

    /// `token.signature`, not percent-encoded.
    pub(crate) fn sign(&self, token: &str) -> String {
        let signature = self.keyed.clone().chain_update(token).finalize().into_bytes();
        format!("{token}.{}", STANDARD.encode(signature))
    }

    /// Whether the signature is this secret's, found out in constant time.
    pub(crate) fn verifies(&self, token: &str, signature: &str) -> bool {
        STANDARD
            .decode(signature)
            .is_ok_and(|signature| self.keyed.clone().chain_update(token).verify_slice(&signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "test-secret-0123456789abcdef0123456789abcdef";
    const TOKEN: &str = "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv";
    /// Made by Better Auth 1.6.23.
    const SIGNATURE: &str = "pt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8=";

    fn signer(secret: &str) -> Result<Signer, ConfigError> {
        Signer::new(&SecretString::from(secret))
    }

    #[test]
    fn signs_as_better_auth_does() {
        assert_eq!(signer(SECRET).unwrap().sign(TOKEN), format!("{TOKEN}.{SIGNATURE}"));
    }

    #[test]
    fn verifies_only_the_right_signature_of_the_right_token() {
        let signer = signer(SECRET).unwrap();
        assert!(signer.verifies(TOKEN, SIGNATURE));
        assert!(!signer.verifies("fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAw", SIGNATURE));
        assert!(!signer.verifies(TOKEN, "qt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8="));
        assert!(!signer.verifies(TOKEN, "pt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8"));
        assert!(!signer.verifies(TOKEN, ""));
    }

    #[test]
    fn another_secret_verifies_nothing() {
        assert!(!signer("another-secret-0123456789abcdef0123").unwrap().verifies(TOKEN, SIGNATURE));
    }

    #[test]
    fn a_secret_that_sim_would_refuse_is_refused() {
        assert!(matches!(signer("short"), Err(ConfigError::ShortSecret)));
        assert!(matches!(signer(""), Err(ConfigError::ShortSecret)));
    }
}
