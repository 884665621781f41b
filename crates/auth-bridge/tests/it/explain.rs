//! Why a credential is refused, told without it.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use parlant_auth_bridge::{AuthBridge, Config, Credential, Explanation, Outcome};
use parlant_test_support::{signed, signed_cookie};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::memory::{Memory, SECRET, bridge, identity, in_an_hour, present};

const TOKEN: &str = "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv";

/// Step and outcome of each.
fn steps(told: &Explanation) -> Vec<(&'static str, Outcome)> {
    told.steps.iter().map(|step| (step.step, step.outcome)).collect()
}

fn detail(told: &Explanation, step: &str) -> String {
    told.steps.iter().find(|told| told.step == step).map(|told| told.detail.clone()).unwrap_or_default()
}

async fn explain(bridge: &AuthBridge, token: &str) -> Explanation {
    bridge.explain(&Credential::from_bearer(token)).await
}

/// A bridge with the secret, over a memory in which the token is good.
fn house() -> (AuthBridge, Arc<Memory>) {
    let config = Config { better_auth_secret: Some(SecretString::from(SECRET)), ..Config::default() };
    let (bridge, memory) = bridge(&config, Memory::new());
    memory.sign_in(TOKEN, in_an_hour());
    (bridge, memory)
}

#[tokio::test]
async fn a_good_credential_passes_every_step() {
    use Outcome::{Noted, Passed};
    let (bridge, memory) = house();
    let told = explain(&bridge, &signed(TOKEN, SECRET)).await;
    let expected = [
        ("form", Passed),
        ("signature", Passed),
        ("cache", Noted),
        ("source", Passed),
        ("ban", Passed),
        ("expiry", Passed),
        ("workspaces", Passed),
    ];
    assert_eq!((told.verdict, &*steps(&told)), (Passed, &expected[..]));
    assert_eq!(detail(&told, "form"), "signed token in Authorization: Bearer");
    assert_eq!(detail(&told, "cache"), "nothing is remembered");
    assert_eq!(detail(&told, "workspaces"), "1 in all: 0 to administer, 1 to write, 0 to read");
    assert_eq!(memory.calls(), 1);
    assert_eq!(bridge.statistics().total_cached_sessions, 0, "it is not remembered");
    let raw = explain(&bridge, TOKEN).await;
    assert_eq!(steps(&raw)[1], ("signature", Noted), "a raw token has no signature that could pass");
}

#[tokio::test]
async fn the_step_that_refuses_is_the_last() {
    use Outcome::{Passed, Refused, Unknown};
    let (bridge, memory) = house();
    let last = |told: &Explanation| (*steps(told).last().unwrap(), told.steps.last().unwrap().detail.clone());
    let forged = signed(TOKEN, "another-secret-0123456789abcdef0123");
    for (token, step, outcome, detail) in [
        ("not a token", "form", Refused, "malformed"),
        ("a.b.c", "signature", Refused, "unsupported"),
        (&forged, "signature", Refused, "bad_signature"),
        ("nobody", "source", Refused, "unknown_session"),
    ] {
        let told = explain(&bridge, token).await;
        assert_eq!(last(&told), ((step, outcome), detail.to_owned()), "{told:?}");
        assert_eq!(told.verdict, outcome);
    }
    memory.sign_in("late", Utc::now() - TimeDelta::seconds(1));
    let told = explain(&bridge, "late").await;
    assert_eq!(last(&told), (("expiry", Refused), "expired".to_owned()));
    assert!(steps(&told).contains(&("source", Passed)), "the source found it: {told:?}");
    memory.is_down(true);
    let told = explain(&bridge, TOKEN).await;
    assert_eq!(last(&told), (("source", Unknown), "the memory is gone".to_owned()));
    assert_eq!(told.verdict, Unknown);
}

#[tokio::test]
async fn what_is_remembered_does_not_hide_what_is() {
    let (bridge, memory) = house();
    assert_eq!(present(&bridge, TOKEN).await, "valid");
    memory.sign_out(TOKEN);
    let before = bridge.statistics();
    let told = explain(&bridge, TOKEN).await;
    assert_eq!(detail(&told, "cache"), "valid");
    assert_eq!((told.verdict, told.steps.last().unwrap().step), (Outcome::Refused, "source"));
    assert_eq!(bridge.statistics(), before, "nothing is counted");
    assert_eq!(present(&bridge, "nobody").await, "unknown_session");
    assert_eq!(detail(&explain(&bridge, "nobody").await, "cache"), "refused: unknown_session");
}

#[tokio::test]
async fn nothing_of_the_credential_is_told() {
    let (bridge, memory) = house();
    let email = identity(TOKEN, in_an_hour()).user.email;
    // Its users are named after their tokens; the id may be told.
    let anonymous = |text: String| text.replace(&format!("user {TOKEN}"), "user");
    let signed_token = signed(TOKEN, SECRET);
    let cookie = format!("__Secure-better-auth.session_token={}", signed_cookie(TOKEN, SECRET));
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{TOKEN}.{TOKEN}");
    let [a, b, c, d, ..] = Sha256::digest(TOKEN)[..] else { panic!("too short") };
    let digest = format!("{a:02x}{b:02x}{c:02x}{d:02x}");
    for down in [false, true] {
        memory.is_down(down);
        for credential in [
            Credential::from_bearer(TOKEN),
            Credential::from_bearer(&signed_token),
            Credential::from_bearer(&jwt),
            Credential::from_bearer(&format!("{TOKEN} {TOKEN}")),
            Credential::from_cookies([cookie.as_bytes()]).unwrap(),
        ] {
            let told = bridge.explain(&credential).await;
            let shown = anonymous(format!("{told:?} {told} {}", serde_json::to_string(&told).unwrap()));
            for secret in [&TOKEN[..8], &signed_token[33..41], "eyJ", &digest, &email] {
                assert!(!shown.contains(secret), "{secret} is in {shown}");
            }
        }
    }
}

#[tokio::test]
async fn an_explanation_is_data() {
    let (bridge, _) = house();
    let told = explain(&bridge, "nobody").await;
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["verdict"], "refused");
    assert_eq!(json["steps"][0]["step"], "form");
    assert_eq!(json["steps"][0]["outcome"], "passed");
    let text = told.to_string();
    assert_eq!(text.lines().count(), told.steps.len());
    assert!(text.ends_with("source     refused  unknown_session\n"), "{text}");
}
