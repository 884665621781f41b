//! JWTs against an issuer's published keys.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;
use parlant_auth_bridge::{AuthBridge, JwtAlgorithm, JwtKey};
use serde_json::{Value, json};

use crate::jwt::{Issuer, bridge, claims, config};
use crate::memory::present;
use crate::web::{Reply, Web};

/// The issuer's public key as a JWK with that id, changed a little.
fn published(issuer: &Issuer, kid: &str, changes: &Value) -> Value {
    let mut jwk = match issuer.algorithm {
        Algorithm::EdDSA => {
            json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": issuer.public_base64()})
        }
        algorithm => serde_json::to_value(Jwk::from_encoding_key(&issuer.key(), algorithm).unwrap()).unwrap(),
    };
    jwk["kid"] = json!(kid);
    for (name, value) in changes.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

fn set(keys: &[Value]) -> Reply {
    Reply::Json(200, json!({"keys": keys}).to_string())
}

/// A server whose answer can be changed, and a bridge that trusts its keys.
async fn serve(first: Reply, algorithm: JwtAlgorithm) -> (Web, Arc<Mutex<Reply>>, AuthBridge) {
    let reply = Arc::new(Mutex::new(first));
    let current = Arc::clone(&reply);
    let web = Web::serve(move |_| current.lock().unwrap().clone()).await;
    let (bridge, _) = bridge(&config(JwtKey::Jwks(format!("{}/jwks", web.url())), algorithm));
    (web, reply, bridge)
}

#[tokio::test]
async fn a_published_key_is_fetched_once_for_many_tokens() {
    for (algorithm, pinned) in [
        (Algorithm::RS256, JwtAlgorithm::Rs256),
        (Algorithm::ES256, JwtAlgorithm::Es256),
        (Algorithm::EdDSA, JwtAlgorithm::EdDsa),
    ] {
        let issuer = Issuer::new(algorithm);
        let (web, _, bridge) = serve(set(&[published(&issuer, "k1", &json!({}))]), pinned).await;
        let tokens = (0..20).map(|n| {
            let mut claims = claims();
            claims["jti"] = json!(format!("token-{n}"));
            issuer.issue(Some("k1"), &claims)
        });
        let tokens: Vec<_> = tokens.collect();
        let verdicts = futures_util::future::join_all(tokens.iter().map(|token| present(&bridge, token))).await;
        assert_eq!(verdicts, ["valid"; 20], "{algorithm:?}");
        let request = web.requests().remove(0);
        assert_eq!((request.header("authorization"), request.header("cookie")), (None, None));
        assert_eq!(request.body, "");
        assert_eq!(web.count("/jwks"), 1, "{algorithm:?}");
    }
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_and_refused() {
    let issuer = Issuer::new(Algorithm::EdDSA);
    let (web, _, bridge) = serve(set(&[published(&issuer, "k1", &json!({}))]), JwtAlgorithm::EdDsa).await;
    for n in 0..50 {
        assert_eq!(present(&bridge, &issuer.issue(Some(&format!("k-{n}")), &claims())).await, "unknown_key");
    }
    assert_eq!(web.count("/jwks"), 1);
    assert_eq!(present(&bridge, &issuer.issue(Some("k1"), &claims())).await, "valid");
}

#[tokio::test]
async fn a_token_without_a_key_id_is_taken_when_there_is_one_key() {
    let (first, second) = (Issuer::new(Algorithm::EdDSA), Issuer::new(Algorithm::EdDSA));
    let only = published(&first, "k1", &json!({}));
    let (_web, _, bridge) = serve(set(std::slice::from_ref(&only)), JwtAlgorithm::EdDsa).await;
    assert_eq!(present(&bridge, &first.issue(None, &claims())).await, "valid");
    let (_web, _, bridge) = serve(set(&[only, published(&second, "k2", &json!({}))]), JwtAlgorithm::EdDsa).await;
    assert_eq!(present(&bridge, &first.issue(None, &claims())).await, "unknown_key");
}

#[tokio::test]
async fn keys_for_something_else_are_not_used() {
    let (issuer, other) = (Issuer::new(Algorithm::RS256), Issuer::new(Algorithm::ES256));
    let keys = [
        published(&issuer, "encryption", &json!({"use": "enc"})),
        published(&issuer, "other-algorithm", &json!({"alg": "RS512"})),
        published(&issuer, "future", &json!({"alg": "XS999"})),
        published(&other, "curve", &json!({"alg": null})),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric"}),
        json!({"kty": "novel", "kid": "novel"}),
        published(&issuer, "good", &json!({})),
    ];
    let (_web, _, bridge) = serve(set(&keys), JwtAlgorithm::Rs256).await;
    assert_eq!(present(&bridge, &issuer.issue(Some("good"), &claims())).await, "valid");
    for kid in ["encryption", "other-algorithm", "future", "curve", "symmetric", "novel"] {
        assert_eq!(present(&bridge, &issuer.issue(Some(kid), &claims())).await, "unknown_key", "{kid}");
    }
}

#[tokio::test]
async fn a_key_with_the_id_of_another_issuers_key_verifies_nothing() {
    let (issuer, stranger) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let (_web, _, bridge) = serve(set(&[published(&issuer, "k1", &json!({}))]), JwtAlgorithm::Es256).await;
    assert_eq!(present(&bridge, &stranger.issue(Some("k1"), &claims())).await, "bad_signature");
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_an_outage() {
    let issuer = Issuer::new(Algorithm::EdDSA);
    for reply in [
        Reply::Json(500, String::new()),
        Reply::Json(200, "<html>".to_owned()),
        Reply::Json(404, r#"{"keys":[]}"#.to_owned()),
        Reply::Redirect("/elsewhere".to_owned()),
        Reply::Half { promised: 500, sent: "{".to_owned() },
        Reply::Endless,
    ] {
        let (web, _, bridge) = serve(reply.clone(), JwtAlgorithm::EdDsa).await;
        for _ in 0..3 {
            let verdict = present(&bridge, &issuer.issue(Some("k1"), &claims())).await;
            assert_eq!(verdict, "unknown", "{reply:?}");
        }
        assert_eq!(web.requests().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_make_more_attempts() {
    let issuer = Issuer::new(Algorithm::EdDSA);
    let (web, _, bridge) = serve(Reply::Hang, JwtAlgorithm::EdDsa).await;
    for n in 0..5 {
        let token = issuer.issue(Some(&format!("k{n}")), &claims());
        let impatient = tokio::time::timeout(std::time::Duration::from_millis(50), present(&bridge, &token)).await;
        assert!(impatient.is_err());
    }
    assert_eq!(web.count("/jwks"), 1);
}

/// Lets time pass for the key set alone: the caches of verdicts and the sockets keep real time.
async fn pass(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

/// A token that no cache has seen.
fn another(issuer: &Issuer, kid: &str) -> String {
    let mut claims = claims();
    claims["jti"] = json!(rand::random::<u64>().to_string());
    issuer.issue(Some(kid), &claims)
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_is_gone() {
    let (old, new) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let (web, reply, bridge) = serve(set(&[published(&old, "old", &json!({}))]), JwtAlgorithm::Es256).await;
    assert_eq!(present(&bridge, &another(&old, "old")).await, "valid");
    *reply.lock().unwrap() = set(&[published(&new, "new", &json!({}))]);
    assert_eq!(present(&bridge, &another(&new, "new")).await, "unknown_key", "too soon to ask again");
    pass(Duration::from_secs(11)).await;
    assert_eq!(present(&bridge, &another(&new, "new")).await, "valid");
    assert_eq!(present(&bridge, &another(&old, "old")).await, "unknown_key");
    assert_eq!(web.count("/jwks"), 2);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_silently_is_gone_when_the_set_is_renewed() {
    let issuer = Issuer::new(Algorithm::ES256);
    let (_web, reply, bridge) = serve(set(&[published(&issuer, "k1", &json!({}))]), JwtAlgorithm::Es256).await;
    assert_eq!(present(&bridge, &another(&issuer, "k1")).await, "valid");
    *reply.lock().unwrap() = set(&[]);
    pass(Duration::from_mins(9)).await;
    assert_eq!(present(&bridge, &another(&issuer, "k1")).await, "valid");
    pass(Duration::from_mins(2)).await;
    assert_eq!(present(&bridge, &another(&issuer, "k1")).await, "unknown_key");
}

#[tokio::test]
async fn known_keys_stay_while_the_issuer_is_out_of_reach() {
    let issuer = Issuer::new(Algorithm::ES256);
    let (web, reply, bridge) = serve(set(&[published(&issuer, "k1", &json!({}))]), JwtAlgorithm::Es256).await;
    assert_eq!(present(&bridge, &another(&issuer, "k1")).await, "valid");
    *reply.lock().unwrap() = Reply::Json(500, String::new());
    for attempts in 2..5 {
        pass(Duration::from_mins(11)).await;
        for _ in 0..3 {
            assert_eq!(present(&bridge, &another(&issuer, "k1")).await, "valid");
            assert_eq!(present(&bridge, &another(&issuer, "k2")).await, "unknown");
        }
        assert_eq!(web.count("/jwks"), attempts);
    }
}
