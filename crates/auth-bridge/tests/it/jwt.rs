//! JWTs against one configured key.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parlant_auth_bridge::{
    AuthBridge, Config, ConfigError, Credential, JwtAlgorithm, JwtConfig, JwtKey, JwtVerifier, Source, Verdict,
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::memory::{Memory, present};

pub(crate) const SECRET: &str = "jwt-secret-0123456789abcdef0123456789abcdef";

/// An issuer with a key pair.
pub(crate) struct Issuer {
    pub(crate) algorithm: Algorithm,
    pair: rcgen::KeyPair,
}

impl Issuer {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::RS256 => &rcgen::PKCS_RSA_SHA256,
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::EdDSA => &rcgen::PKCS_ED25519,
            _ => panic!("no key pairs for {algorithm:?}"),
        };
        Self { algorithm, pair: rcgen::KeyPair::generate_for(kind).unwrap() }
    }

    pub(crate) fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    pub(crate) fn public_base64(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key_raw())
    }

    pub(crate) fn key(&self) -> EncodingKey {
        let pem = self.pair.serialize_pem();
        match self.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => EncodingKey::from_ed_pem(pem.as_bytes()),
        }
        .unwrap()
    }

    pub(crate) fn issue(&self, kid: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key()).unwrap()
    }
}

fn issue_hs256(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

pub(crate) fn claims() -> Value {
    json!({"sub": "user-1", "exp": (Utc::now() + TimeDelta::minutes(5)).timestamp()})
}

/// The claims with some of them changed; `null` takes one away.
fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

pub(crate) fn config(key: JwtKey, algorithm: JwtAlgorithm) -> JwtConfig {
    JwtConfig { key, algorithm, issuer: None, audience: None }
}

fn hs256() -> JwtConfig {
    config(JwtKey::Secret(SecretString::from(SECRET)), JwtAlgorithm::Hs256)
}

pub(crate) fn bridge(jwt: &JwtConfig) -> (AuthBridge, Arc<Memory>) {
    let memory = Arc::new(Memory::new());
    let source: Arc<dyn Source> = Arc::<Memory>::clone(&memory);
    let verifier = Arc::new(JwtVerifier::new(jwt).unwrap());
    (AuthBridge::with_jwt(&Config::default(), source, verifier).unwrap(), memory)
}

#[tokio::test]
async fn each_algorithm_is_taken_with_its_own_key_and_refused_with_another() {
    for (algorithm, pinned) in [
        (Algorithm::RS256, JwtAlgorithm::Rs256),
        (Algorithm::ES256, JwtAlgorithm::Es256),
        (Algorithm::EdDSA, JwtAlgorithm::EdDsa),
    ] {
        let issuer = Issuer::new(algorithm);
        let (bridge, _) = bridge(&config(JwtKey::PublicKey(issuer.public_pem()), pinned));
        assert_eq!(present(&bridge, &issuer.issue(None, &claims())).await, "valid", "{algorithm:?}");
        let stranger = Issuer::new(algorithm);
        assert_eq!(present(&bridge, &stranger.issue(None, &claims())).await, "bad_signature", "{algorithm:?}");
        let key_as_secret = EncodingKey::from_secret(issuer.public_pem().as_bytes());
        let confused = jsonwebtoken::encode(&Header::default(), &claims(), &key_as_secret).unwrap();
        assert_eq!(present(&bridge, &confused).await, "bad_signature", "{algorithm:?}");
    }
    let (bridge, _) = bridge(&hs256());
    assert_eq!(present(&bridge, &issue_hs256(&claims())).await, "valid");
}

#[tokio::test]
async fn the_algorithm_is_never_taken_from_the_token() {
    let (bridge, memory) = bridge(&hs256());
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let good = parts(&issue_hs256(&claims()));
    // {"alg":"none"}, {"alg":"None","typ":"JWT"}
    for none in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0"] {
        for signature in ["", "x", good[2].as_str()] {
            let token = format!("{none}.{}.{signature}", good[1]);
            assert_eq!(present(&bridge, &token).await, "malformed", "{token}");
        }
    }
    let hs512 =
        jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims(), &EncodingKey::from_secret(SECRET.as_bytes()));
    assert_eq!(present(&bridge, &hs512.unwrap()).await, "bad_signature");
    let rs256 = Issuer::new(Algorithm::RS256).issue(None, &claims());
    assert_eq!(present(&bridge, &rs256).await, "bad_signature");
    assert_eq!(memory.calls(), 0);
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let (bridge, _) = bridge(&hs256());
    let good = issue_hs256(&claims());
    let other = issue_hs256(&claims_with(&json!({"sub": "user-2"})));
    let (good, other): (Vec<_>, Vec<_>) = (good.split('.').collect(), other.split('.').collect());
    let swapped = format!("{}.{}.{}", good[0], other[1], good[2]);
    assert_eq!(present(&bridge, &swapped).await, "bad_signature");
    let garbage = format!("{}.{}.AAAA", good[0], good[1]);
    assert_eq!(present(&bridge, &garbage).await, "bad_signature");
    assert_eq!(present(&bridge, "AAAA.AAAA.AAAA").await, "malformed");
}

#[tokio::test]
async fn claims_are_checked() {
    let at = |delta: TimeDelta| (Utc::now() + delta).timestamp();
    let strict = JwtConfig { issuer: Some("us".to_owned()), audience: Some("bridge".to_owned()), ..hs256() };
    let ours = json!({"iss": "us", "aud": "bridge"});
    let with = |changes: Value| {
        let mut all = ours.clone();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        all
    };
    for (jwt, changes, expected) in [
        (hs256(), json!({}), "valid"),
        (hs256(), json!({"exp": null}), "bad_claims"),
        (hs256(), json!({"exp": "soon"}), "bad_claims"),
        (hs256(), json!({"exp": at(TimeDelta::seconds(-1))}), "expired"),
        (hs256(), json!({"exp": at(TimeDelta::hours(-1))}), "expired"),
        (hs256(), json!({"exp": 0}), "expired"),
        (hs256(), json!({"exp": -1}), "bad_claims"),
        (hs256(), json!({"exp": 1e300}), "bad_claims"),
        (hs256(), json!({"exp": 4_102_444_800.5}), "valid"),
        (hs256(), json!({"nbf": at(TimeDelta::hours(-1))}), "valid"),
        (hs256(), json!({"nbf": at(TimeDelta::seconds(2))}), "valid"),
        (hs256(), json!({"nbf": at(TimeDelta::minutes(1))}), "bad_claims"),
        (hs256(), json!({"nbf": "later"}), "bad_claims"),
        (hs256(), json!({"sub": null}), "bad_claims"),
        (hs256(), json!({"sub": ""}), "bad_claims"),
        (hs256(), json!({"sub": 7}), "bad_claims"),
        (hs256(), json!({"sub": "user\u{0}"}), "bad_claims"),
        (hs256(), json!({"sub": "u".repeat(256)}), "bad_claims"),
        (hs256(), json!({"sub": "nobody"}), "unknown_user"),
        (hs256(), json!({"iss": "anybody"}), "valid"),
        (hs256(), json!({"aud": "somebody else"}), "bad_claims"),
        (strict.clone(), ours.clone(), "valid"),
        (strict.clone(), with(json!({"aud": ["others", "bridge"]})), "valid"),
        (strict.clone(), with(json!({"iss": null})), "bad_claims"),
        (strict.clone(), with(json!({"iss": "them"})), "bad_claims"),
        (strict.clone(), with(json!({"iss": 7})), "bad_claims"),
        (strict.clone(), with(json!({"aud": null})), "bad_claims"),
        (strict.clone(), with(json!({"aud": "others"})), "bad_claims"),
        (strict.clone(), with(json!({"aud": []})), "bad_claims"),
    ] {
        let (bridge, _) = bridge(&jwt);
        let token = issue_hs256(&claims_with(&changes));
        assert_eq!(present(&bridge, &token).await, expected, "{changes} for {jwt:?}");
    }
}

#[tokio::test]
async fn the_session_is_the_tokens() {
    let (bridge, memory) = bridge(&hs256());
    let session = async |claims: &Value| {
        let verdict = bridge.authenticate(&Credential::from_bearer(&issue_hs256(claims))).await;
        let Verdict::Valid(identity) = verdict else { panic!("{verdict:?}") };
        assert_eq!(identity.user.id, "user-1");
        identity.session.clone()
    };
    let named = session(&claims_with(&json!({"exp": 4_102_444_800_u32, "jti": "token-1"}))).await;
    assert_eq!(named.id, "token-1");
    assert_eq!(named.expires_at, DateTime::from_timestamp(4_102_444_800, 0).unwrap());
    let nameless = claims_with(&json!({"exp": 4_102_444_800_u32}));
    let first = session(&nameless).await;
    assert!(first.id.starts_with("jwt-") && first.id.len() == 36, "{}", first.id);
    assert_eq!(first, session(&nameless).await);
    assert_eq!(memory.calls(), 2, "the second look at a token is answered by the cache");
}

#[test]
fn keys_that_do_not_fit_are_errors_at_the_start() {
    let pem = |algorithm| JwtKey::PublicKey(Issuer::new(algorithm).public_pem());
    let secret = |text: &str| JwtKey::Secret(SecretString::from(text));
    let jwks = || JwtKey::Jwks("http://127.0.0.1:1/jwks".to_owned());
    let error = |key, algorithm| JwtVerifier::new(&config(key, algorithm)).err();
    assert!(matches!(error(secret("short"), JwtAlgorithm::Hs256), Some(ConfigError::ShortJwtSecret)));
    assert!(matches!(error(secret(SECRET), JwtAlgorithm::Rs256), Some(ConfigError::JwtKeyKind)));
    assert!(matches!(error(pem(Algorithm::RS256), JwtAlgorithm::Hs256), Some(ConfigError::JwtKeyKind)));
    assert!(matches!(error(jwks(), JwtAlgorithm::Hs256), Some(ConfigError::JwtKeyKind)));
    assert!(matches!(error(pem(Algorithm::RS256), JwtAlgorithm::Es256), Some(ConfigError::JwtPublicKey)));
    assert!(matches!(error(pem(Algorithm::ES256), JwtAlgorithm::EdDsa), Some(ConfigError::JwtPublicKey)));
    let garbage = JwtKey::PublicKey("not a key".to_owned());
    assert!(matches!(error(garbage, JwtAlgorithm::Rs256), Some(ConfigError::JwtPublicKey)));
    let nowhere = JwtKey::Jwks("file:///etc/jwks".to_owned());
    assert!(matches!(error(nowhere, JwtAlgorithm::Rs256), Some(ConfigError::JwksUrl)));
    assert!("none".parse::<JwtAlgorithm>().is_err() && "hs256".parse::<JwtAlgorithm>().is_err());
    let escaped = Issuer::new(Algorithm::EdDSA).public_pem().replace('\n', "\\n");
    assert!(error(JwtKey::PublicKey(escaped), JwtAlgorithm::EdDsa).is_none());
}

#[test]
fn a_source_that_finds_no_users_takes_no_jwts() {
    let source = Arc::new(Memory::reading_signatures());
    let verifier = Arc::new(JwtVerifier::new(&hs256()).unwrap());
    let error = AuthBridge::with_jwt(&Config::default(), source, verifier).unwrap_err();
    assert!(error.to_string().contains("AUTH_SOURCE=database"), "{error}");
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn what_the_user_may_do_is_asked_of_the_database() {
    let database = parlant_test_support::database().await;
    let sim = database.sim().await;
    let user = sim.user("Ada").await;
    let workspace = sim.workspace(&user).await;
    let verifier = Arc::new(JwtVerifier::new(&hs256()).unwrap());
    let source = Arc::new(crate::database::source(database.url()));
    let config = Config { caching: false, ..Config::default() };
    let bridge = AuthBridge::with_jwt(&config, source, verifier).unwrap();
    let token = issue_hs256(&claims_with(&json!({"sub": user})));
    let verdict = bridge.authenticate(&Credential::from_bearer(&token)).await;
    let Verdict::Valid(identity) = verdict else { panic!("{verdict:?}") };
    assert!(identity.permission(&workspace).is_some());
    sim.ban(&user, None).await;
    assert_eq!(present(&bridge, &token).await, "banned");
    sim.delete_user(&user).await;
    assert_eq!(present(&bridge, &token).await, "unknown_user");
}
