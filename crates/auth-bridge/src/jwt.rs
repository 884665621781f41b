//! JWT bearer tokens of services that act for one of Sim's users.
//!
//! The algorithm is pinned by configuration and never taken from the token. `exp` is required; `nbf` is checked when
//! it is there; issuer and audience are required as soon as they are configured. A token that names an audience is
//! refused when none is configured, as RFC 7519 §4.1.3 demands. The token says who (`sub`, a user's id in Sim); what
//! that user may do, and whether the user is banned, is asked of the database like for everybody else.

mod jwks;

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{Answer, ConfigError, Reason, Refusal, Session, Subject, Verifier};

/// How far the issuer's clock may be ahead: a token is taken that much before its `nbf`. Never after its `exp`.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// RFC 7518 §3.2: a key shorter than the hash is guessed more easily than the hash.
const SECRET_MIN: usize = 32;
/// Ids of Sim's are far shorter.
const ID_MAX: usize = 255;

/// The algorithms that can be pinned. There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: who checks can also issue.
    Hs256,
    /// RSA PKCS #1 v1.5 with SHA-256, 2048 bits and more.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    const fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

impl FromStr for JwtAlgorithm {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "HS256" => Ok(Self::Hs256),
            "RS256" => Ok(Self::Rs256),
            "ES256" => Ok(Self::Es256),
            "EdDSA" => Ok(Self::EdDsa),
            _ => Err(ConfigError::JwtAlgorithm),
        }
    }
}

/// What signatures are checked with.
#[derive(Clone, Debug)]
pub enum JwtKey {
    /// A shared secret of 32 bytes or more, for HS256 (`JWT_SECRET_KEY`).
    Secret(SecretString),
    /// A public key in PEM (`JWT_PUBLIC_KEY`); line ends may be written as `\n`.
    PublicKey(String),
    /// The address of a set of public keys (`JWT_JWKS_URL`).
    Jwks(String),
}

/// Which JWTs are taken.
#[derive(Clone, Debug)]
pub struct JwtConfig {
    /// The key or keys.
    pub key: JwtKey,
    /// The only algorithm accepted (`JWT_ALGORITHM`).
    pub algorithm: JwtAlgorithm,
    /// The `iss` that a token must have (`JWT_ISSUER`).
    pub issuer: Option<String>,
    /// The `aud` that a token must have (`JWT_AUDIENCE`).
    pub audience: Option<String>,
}

/// Checks JWTs.
pub struct JwtVerifier {
    keys: Keys,
    validation: Validation,
}

enum Keys {
    One(Box<DecodingKey>),
    Set(jwks::Jwks),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    jti: Option<String>,
}

impl JwtVerifier {
    /// A verifier for one pinned algorithm. A key set is fetched when the first token comes.
    ///
    /// # Errors
    /// When key and algorithm do not belong together, or the key is none.
    pub fn new(config: &JwtConfig) -> Result<Self, ConfigError> {
        let keys = match (&config.key, config.algorithm) {
            (JwtKey::Secret(secret), JwtAlgorithm::Hs256) => {
                let secret = secret.expose_secret().as_bytes();
                if secret.len() < SECRET_MIN {
                    return Err(ConfigError::ShortJwtSecret);
                }
                Keys::One(Box::new(DecodingKey::from_secret(secret)))
            }
            (JwtKey::PublicKey(pem), algorithm) => Keys::One(Box::new(public_key(pem, algorithm)?)),
            (JwtKey::Jwks(url), algorithm) if algorithm != JwtAlgorithm::Hs256 => {
                Keys::Set(jwks::Jwks::new(url, algorithm.algorithm())?)
            }
            (JwtKey::Secret(_) | JwtKey::Jwks(_), _) => return Err(ConfigError::JwtKeyKind),
        };
        let mut validation = Validation::new(config.algorithm.algorithm());
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &config.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { keys, validation })
    }

    async fn subject(&self, token: &str) -> Result<Subject, Refusal> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Reason::Malformed)?;
        if !self.validation.algorithms.contains(&header.alg) {
            return Err(Reason::BadSignature.into());
        }
        if header.crit.is_some() {
            return Err(Reason::Unsupported.into());
        }
        let claims = match &self.keys {
            Keys::One(key) => self.claims(token, key)?,
            Keys::Set(set) => self.claims(token, &*set.find(header.kid.as_deref()).await?)?,
        };
        subject(token, claims).ok_or_else(|| Reason::BadClaims.into())
    }

    fn claims(&self, token: &str, key: &DecodingKey) -> Result<Claims, Reason> {
        match jsonwebtoken::decode(token, key, &self.validation) {
            Ok(checked) => Ok(checked.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::ExpiredSignature => Reason::Expired,
                ErrorKind::ImmatureSignature
                | ErrorKind::InvalidIssuer
                | ErrorKind::InvalidAudience
                | ErrorKind::MissingRequiredClaim(_)
                | ErrorKind::InvalidClaimFormat(_)
                | ErrorKind::Json(_) => Reason::BadClaims,
                _ => Reason::BadSignature,
            }),
        }
    }
}

impl Verifier for JwtVerifier {
    fn verify<'a>(&'a self, token: &'a str) -> Answer<'a, Subject> {
        Box::pin(self.subject(token))
    }
}

fn public_key(pem: &str, algorithm: JwtAlgorithm) -> Result<DecodingKey, ConfigError> {
    let pem = pem.replace("\\n", "\n");
    let read = match algorithm {
        JwtAlgorithm::Hs256 => return Err(ConfigError::JwtKeyKind),
        JwtAlgorithm::Rs256 => DecodingKey::from_rsa_pem,
        JwtAlgorithm::Es256 => DecodingKey::from_ec_pem,
        JwtAlgorithm::EdDsa => DecodingKey::from_ed_pem,
    };
    read(pem.as_bytes()).map_err(|_| ConfigError::JwtPublicKey)
}

/// What the claims say, if they make sense.
fn subject(token: &str, claims: Claims) -> Option<Subject> {
    let is_id = |id: &String| (1..=ID_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
    let since_epoch = Duration::try_from_secs_f64(claims.exp).ok()?;
    let expires_at = DateTime::<Utc>::UNIX_EPOCH.checked_add_signed(TimeDelta::from_std(since_epoch).ok()?)?;
    let id = claims.jti.filter(is_id).unwrap_or_else(|| digest(token));
    let user_id = Some(claims.sub).filter(is_id)?;
    Some(Subject { user_id, session: Session { id, expires_at, active_organization_id: None, impersonated_by: None } })
}

/// The same for the same token, and telling nothing about it.
fn digest(token: &str) -> String {
    let mut text = String::from("jwt-");
    for byte in &Sha256::digest(token)[..16] {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
