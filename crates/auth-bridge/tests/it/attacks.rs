//! What is known to have been tried on those who check JWTs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{TimeDelta, Utc};
use jsonwebtoken::crypto::sign;
use jsonwebtoken::{Algorithm, EncodingKey};
use parlant_auth_bridge::{JwtAlgorithm, JwtConfig, JwtKey};
use serde_json::{Value, json};

use crate::jwt::{Issuer, bridge, config};
use crate::memory::present;
use crate::web::{Reply, Web};

/// A token with exactly this header and these claims, JSON or not.
fn token(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// What the attacker would like to be checked with.
fn published(attacker: &Issuer) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": "theirs", "alg": "EdDSA", "use": "sig", "x": attacker.public_base64()})
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn every_attack_is_refused() {
    let theirs = Issuer::new(Algorithm::EdDSA);
    let keys = json!({"keys": [published(&theirs)]}).to_string();
    let web = Web::serve(move |_| Reply::Json(200, keys.clone())).await;
    let issuer = Issuer::new(Algorithm::EdDSA);
    let ours = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ours", "alg": "EdDSA", "use": "sig", "x": issuer.public_base64()});
    let set = json!({"keys": [ours]}).to_string();
    let home = Web::serve(move |_| Reply::Json(200, set.clone())).await;

    for key in [JwtKey::PublicKey(issuer.public_pem()), JwtKey::Jwks(home.url())] {
        let is_set = matches!(key, JwtKey::Jwks(_));
        let (issuer_name, audience) = (Some("us".to_owned()), Some("bridge".to_owned()));
        let jwt = JwtConfig { issuer: issuer_name, audience, ..config(key, JwtAlgorithm::EdDsa) };
        let (bridge, memory) = bridge(&jwt);
        let ours = json!({"alg": "EdDSA", "kid": "ours"});
        let header = |more: Value| {
            let mut header = ours.clone();
            header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            header.to_string()
        };
        let at = |delta: TimeDelta| (Utc::now() + delta).timestamp();
        let exp = at(TimeDelta::minutes(5));
        let good = json!({"sub": "user-1", "exp": exp, "iss": "us", "aud": "bridge"});
        let claims = |changes: Value| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            claims.to_string()
        };
        let good = good.to_string();
        let signed = |header: &str, claims: &str| token(header, claims, &issuer.key(), Algorithm::EdDSA);
        let forged = |header: &str, claims: &str| token(header, claims, &theirs.key(), Algorithm::EdDSA);
        let hmac =
            |header: &str, secret: &[u8]| token(header, &good, &EncodingKey::from_secret(secret), Algorithm::HS256);

        let valid = signed(&ours.to_string(), &good);
        let parts: Vec<&str> = valid.split('.').collect();
        let unsigned = |alg: &str, signature: &str| {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "ours"}).to_string());
            format!("{header}.{}.{signature}", parts[1])
        };
        let pem = issuer.public_pem();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(der).unwrap();
        let unknown = if is_set { "unknown_key" } else { "bad_signature" };
        let raw = |parts: [&str; 3]| parts.join(".");
        // The last of the 86 digits of an Ed25519 signature has four bits that mean nothing.
        let mut last = parts[2].as_bytes().to_vec();
        *last.last_mut().unwrap() += 1;
        let padded = format!("{}==", parts[2]);

        for (attack, token, expected) in [
            ("none at all, for comparison", valid.clone(), "valid"),
            // No signature, or no algorithm.
            ("alg none", unsigned("none", ""), "malformed"),
            ("alg none, a signature", unsigned("none", parts[2]), "malformed"),
            ("alg None", unsigned("None", parts[2]), "malformed"),
            ("alg NONE", unsigned("NONE", "AA"), "malformed"),
            ("alg empty", unsigned("", parts[2]), "malformed"),
            ("no alg", signed(r#"{"typ":"JWT"}"#, &good), "malformed"),
            ("the signature taken away", raw([parts[0], parts[1], ""]), "malformed"),
            ("the signature cut", raw([parts[0], parts[1], &parts[2][..40]]), "bad_signature"),
            ("the signature respelled", raw([parts[0], parts[1], str::from_utf8(&last).unwrap()]), "bad_signature"),
            ("the signature padded", raw([parts[0], parts[1], &padded]), "malformed"),
            ("a signature of zeros", raw([parts[0], parts[1], &"A".repeat(86)]), "bad_signature"),
            // The public key as a secret, and other algorithms.
            ("HS256 with the PEM", hmac(&header(json!({"alg": "HS256"})), pem.as_bytes()), "bad_signature"),
            (
                "HS256 with the PEM, trimmed",
                hmac(&header(json!({"alg": "HS256"})), pem.trim().as_bytes()),
                "bad_signature",
            ),
            ("HS256 with the DER", hmac(&header(json!({"alg": "HS256"})), &der), "bad_signature"),
            (
                "HS256 with the last 32 bytes",
                hmac(&header(json!({"alg": "HS256"})), &der[der.len() - 32..]),
                "bad_signature",
            ),
            ("HMAC under the pinned name", hmac(&ours.to_string(), &der), "bad_signature"),
            ("another algorithm of key pairs", signed(&header(json!({"alg": "ES256"})), &good), "bad_signature"),
            ("an algorithm that nobody has", signed(&header(json!({"alg": "XS1"})), &good), "malformed"),
            // A key of the attacker's choice.
            ("a stranger's key", forged(&ours.to_string(), &good), "bad_signature"),
            ("kid of a file", forged(&header(json!({"kid": "../../../../dev/null"})), &good), unknown),
            ("kid of SQL", forged(&header(json!({"kid": "' union select 'x"})), &good), unknown),
            ("kid of a command", forged(&header(json!({"kid": "| curl http://x"})), &good), unknown),
            ("kid of an address", forged(&header(json!({"kid": web.url()})), &good), unknown),
            ("kid empty", forged(&header(json!({"kid": ""})), &good), unknown),
            ("kid endless", forged(&header(json!({"kid": "k".repeat(4000)})), &good), unknown),
            ("kid no text", forged(&header(json!({"kid": 7})), &good), "malformed"),
            ("jwk in the token", forged(&header(json!({"jwk": published(&theirs)})), &good), "bad_signature"),
            ("jku", forged(&header(json!({"jku": web.url()})), &good), "bad_signature"),
            ("jku and its kid", forged(&header(json!({"jku": web.url(), "kid": "theirs"})), &good), unknown),
            ("x5u", forged(&header(json!({"x5u": web.url()})), &good), "bad_signature"),
            ("x5c", forged(&header(json!({"x5c": [STANDARD.encode(&der)]})), &good), "bad_signature"),
            // Said rightly, and not to be taken.
            ("crit", signed(&header(json!({"crit": ["exp"]})), &good), "unsupported"),
            ("crit empty", signed(&header(json!({"crit": []})), &good), "unsupported"),
            ("expired", signed(&ours.to_string(), &claims(json!({"exp": at(TimeDelta::minutes(-1))}))), "expired"),
            ("exp missing", signed(&ours.to_string(), &claims(json!({"exp": null}))), "bad_claims"),
            ("exp as text", signed(&ours.to_string(), &claims(json!({"exp": exp.to_string()}))), "bad_claims"),
            ("exp beyond time", signed(&ours.to_string(), &claims(json!({"exp": 1e300}))), "bad_claims"),
            ("exp infinite", signed(&ours.to_string(), &good.replace(&exp.to_string(), "1e999")), "bad_claims"),
            ("exp negative", signed(&ours.to_string(), &claims(json!({"exp": -1}))), "bad_claims"),
            (
                "not yet valid",
                signed(&ours.to_string(), &claims(json!({"nbf": at(TimeDelta::minutes(1))}))),
                "bad_claims",
            ),
            ("aud of others", signed(&ours.to_string(), &claims(json!({"aud": "others"}))), "bad_claims"),
            ("aud missing", signed(&ours.to_string(), &claims(json!({"aud": null}))), "bad_claims"),
            ("aud in another case", signed(&ours.to_string(), &claims(json!({"aud": "Bridge"}))), "bad_claims"),
            ("iss of others", signed(&ours.to_string(), &claims(json!({"iss": "them"}))), "bad_claims"),
            ("iss a list", signed(&ours.to_string(), &claims(json!({"iss": ["us", 7]}))), "bad_claims"),
            ("iss missing", signed(&ours.to_string(), &claims(json!({"iss": null}))), "bad_claims"),
            ("sub twice", signed(&ours.to_string(), &good.replacen('{', r#"{"sub":"user-2","#, 1)), "bad_claims"),
            (
                "sub twice, disguised",
                signed(&ours.to_string(), &good.replacen('{', r#"{"\u0073ub":"user-2","#, 1)),
                "bad_claims",
            ),
            ("exp twice", signed(&ours.to_string(), &good.replacen('{', r#"{"exp":1,"#, 1)), "bad_claims"),
            ("aud twice", signed(&ours.to_string(), &good.replacen('{', r#"{"aud":"others","#, 1)), "bad_claims"),
            ("iss twice", signed(&ours.to_string(), &good.replacen('{', r#"{"iss":"them","#, 1)), "bad_claims"),
            ("alg twice", signed(&ours.to_string().replacen('{', r#"{"alg":"none","#, 1), &good), "malformed"),
            ("claims deep", signed(&ours.to_string(), &"[".repeat(4000)), "bad_claims"),
            ("claims no object", signed(&ours.to_string(), "7"), "bad_claims"),
            ("claims and more", signed(&ours.to_string(), &format!("{good}{good}")), "bad_claims"),
            ("claims no text", signed(&ours.to_string(), "\u{0}"), "bad_claims"),
            ("huge", signed(&ours.to_string(), &claims(json!({"more": "x".repeat(8000)}))), "malformed"),
            ("four parts", format!("{valid}.{}", parts[2]), "malformed"),
            (
                "a token in a token",
                format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(&valid), parts[2]),
                "bad_signature",
            ),
        ] {
            assert_eq!(present(&bridge, &token).await, expected, "{attack}: {token}");
        }
        assert_eq!(memory.calls(), 1, "only for the good one was anybody asked");
    }
    assert_eq!(web.requests().len(), 0, "nobody went where a token pointed to");
}
