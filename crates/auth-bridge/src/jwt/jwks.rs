//! An issuer's published keys.
//!
//! The set is fetched when it is first needed, again after [`FRESH`], and at once when a token names a key that is
//! not in it (the issuer may have a new one), but never more often than every [`PAUSE`]: whoever invents key ids
//! must not make the bridge knock at the issuer's door. While the issuer cannot be reached, the known keys stay.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, Url};
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use crate::fetch::{self, FetchError};
use crate::{Cause, ConfigError, Reason, Refusal};

/// How long a set is believed without asking again.
const FRESH: Duration = Duration::from_mins(10);
/// The shortest time between two attempts to fetch it.
const PAUSE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
const SIZE_LIMIT: usize = 256 * 1024;

pub(super) struct Jwks {
    issuer: Arc<Issuer>,
    /// Held by the one who fetches.
    renewal: Arc<Mutex<()>>,
}

struct Issuer {
    client: Client,
    url: Url,
    algorithm: Algorithm,
    known: RwLock<Known>,
}

/// What is known of the set.
#[derive(Clone, Default)]
struct Known {
    keys: Arc<[Key]>,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
    /// Why the last attempt failed, if it did.
    failure: Option<Cause>,
}

struct Key {
    id: Option<String>,
    key: Arc<DecodingKey>,
}

impl Jwks {
    pub(super) fn new(url: &str, algorithm: Algorithm) -> Result<Self, ConfigError> {
        let url = Url::parse(url).map_err(|_| ConfigError::JwksUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ConfigError::JwksUrl);
        }
        let client = fetch::client(CONNECT_TIMEOUT).map_err(ConfigError::HttpClient)?;
        let issuer = Issuer { client, url, algorithm, known: RwLock::default() };
        Ok(Self { issuer: Arc::new(issuer), renewal: Arc::default() })
    }

    /// The key of that id; for a token without an id the only key there is.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Arc<DecodingKey>, Refusal> {
        let known = self.issuer.known().await;
        let renewal = match known.key(id) {
            Some(key) if known.is_fresh(Instant::now()) => return Ok(key),
            // One of the callers renews the set; the others need not wait for it.
            Some(_) => Arc::clone(&self.renewal).try_lock_owned().ok(),
            None => Some(Arc::clone(&self.renewal).lock_owned().await),
        };
        if let Some(renewal) = renewal
            && self.issuer.known().await.is_due(Instant::now())
        {
            let issuer = Arc::clone(&self.issuer);
            // A task of its own, so that clients who hang up cannot keep attempts from being counted.
            let attempt = tokio::spawn(async move {
                issuer.attempt().await;
                drop(renewal);
            });
            attempt.await.map_err(|error| Cause::with_error("JWKS", error))?;
        }
        let known = self.issuer.known().await;
        known.key(id).ok_or_else(|| known.failure.map_or(Refusal::Invalid(Reason::UnknownKey), Refusal::Unknown))
    }
}

impl Issuer {
    async fn known(&self) -> Known {
        self.known.read().await.clone()
    }

    async fn attempt(&self) {
        let fetched = self.fetch().await;
        let mut known = self.known.write().await;
        let now = Some(Instant::now());
        known.attempted = now;
        match fetched {
            Ok(keys) => {
                known.keys = keys.into();
                known.fetched = now;
                known.failure = None;
            }
            Err(error) => known.failure = Some(error.cause("JWKS")),
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, FetchError> {
        let body = fetch::send_for_ok(self.client.get(self.url.clone()), TIMEOUT, SIZE_LIMIT).await?;
        let set: JwkSet = serde_json::from_slice(&body)?;
        Ok(set.keys.into_iter().filter_map(|key| usable(key, self.algorithm)).collect())
    }
}

impl Known {
    fn key(&self, id: Option<&str>) -> Option<Arc<DecodingKey>> {
        let key = match (id, &*self.keys) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id))?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        Some(Arc::clone(&key.key))
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.fetched.is_some_and(|fetched| now.saturating_duration_since(fetched) < FRESH)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.attempted.is_none_or(|attempted| now.saturating_duration_since(attempted) >= PAUSE)
    }
}

/// The key, if it may sign with the pinned algorithm.
fn usable(jwk: Jwk, algorithm: Algorithm) -> Option<Key> {
    let of_kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let named = jwk.common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm));
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    if !(of_kind && named && signs) {
        return None;
    }
    let key = Arc::new(DecodingKey::from_jwk(&jwk).ok()?);
    Some(Key { id: jwk.common.key_id, key })
}
