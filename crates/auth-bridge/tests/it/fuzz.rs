//! Whatever is presented is judged without a panic, and nothing is taken for a credential that is none.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::{EncodingKey, Header};
use parlant_auth_bridge::testing::{MemorySource, somebody};
use parlant_auth_bridge::{
    AuthBridge, Config, Credential, JwtAlgorithm, JwtKey, JwtVerifier, Outcome, Verdict, Verifier as _,
};
use parlant_test_support::{signed, signed_cookie};
use percent_encoding::percent_decode;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use secrecy::SecretString;
use serde_json::json;

use crate::jwt::{SECRET as JWT_SECRET, config};
use crate::memory::SECRET;

const TOKEN: &str = "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv";
/// How many are tried when no time is given.
const CASES: u64 = 20_000;

/// What parsers stumble over.
const PIECES: [&[u8]; 22] = [
    b"",
    b".",
    b"..",
    b"=",
    b"==",
    b"%",
    b"%0",
    b"%00",
    b"%2e",
    b"%25",
    b"\"",
    b";",
    b"; ",
    b",",
    b" ",
    b"\t",
    b"\r\n",
    b"\xff",
    "ä".as_bytes(),
    b"Bearer ",
    b"better-auth.session_token=",
    b"__Secure-better-auth.session_token=",
];

/// For how long to try: `AUTH_FUZZ_SECONDS`.
#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
fn patience() -> Option<Duration> {
    std::env::var("AUTH_FUZZ_SECONDS").ok().map(|seconds| Duration::from_secs(seconds.parse().unwrap()))
}

/// Changes one thing.
fn mutate(random: &mut StdRng, text: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = random.random_range(0..=text.len());
    let end = random.random_range(at..=text.len().min(at + 40));
    match random.random_range(0..8) {
        0 if !text.is_empty() => {
            let at = at.min(text.len() - 1);
            text[at] ^= 1 << random.random_range(0..8);
        }
        1 => drop(text.drain(at..end)),
        2 => {
            let piece = *PIECES.choose(random).unwrap();
            text.splice(at..at, piece.iter().copied());
        }
        3 => {
            let piece = *PIECES.choose(random).unwrap();
            text.splice(at..end, piece.iter().copied());
        }
        4 => {
            let again = text[at..end].to_vec();
            text.splice(at..at, again);
        }
        5 => {
            let other = seeds.choose(random).unwrap();
            let from = random.random_range(0..=other.len());
            text.splice(at.., other[from..].iter().copied());
        }
        6 => {
            let escaped: Vec<_> = text[at..end].iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect();
            text.splice(at..end, escaped);
        }
        _ if random.random_bool(0.02) => {
            let many = vec![random.random(); random.random_range(0..10_000)];
            text.splice(at..at, many);
        }
        _ => {
            let noise: Vec<u8> = (0..random.random_range(0..8)).map(|_| random.random()).collect();
            text.splice(at..at, noise);
        }
    }
}

#[tokio::test]
async fn whatever_is_presented_is_judged() {
    let source = Arc::new(MemorySource::default());
    source.sign_in(TOKEN, somebody("ada"));
    let hs256 = config(JwtKey::Secret(SecretString::from(JWT_SECRET)), JwtAlgorithm::Hs256);
    let verifier = Arc::new(JwtVerifier::new(&hs256).unwrap());
    let auth = Config { caching: false, better_auth_secret: Some(SecretString::from(SECRET)), ..Config::default() };
    let bridge = AuthBridge::with_jwt(&auth, source, verifier.clone()).unwrap();
    let claims = json!({"sub": "ada", "exp": 4_102_444_800_u32});
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let jwt = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    let (signed, cookie) = (signed(TOKEN, SECRET), signed_cookie(TOKEN, SECRET));
    let seeds = [
        format!("Bearer {TOKEN}"),
        format!("Bearer {signed}"),
        format!("bearer {cookie}"),
        format!("Bearer {jwt}"),
        format!("better-auth.session_token={cookie}"),
        format!("theme=dark; __Secure-better-auth.session_token=\"{signed}\"; better-auth.session_token=other"),
        jwt.clone(),
    ]
    .map(String::into_bytes);

    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (start, patience) = (Instant::now(), patience());
    let (mut cases, mut valid) = (0_u64, 0_u64);
    while patience.map_or(cases < CASES, |patience| start.elapsed() < patience) {
        cases += 1;
        let mut text = seeds.choose(&mut random).unwrap().clone();
        for _ in 0..random.random_range(0..6) {
            mutate(&mut random, &mut text, &seeds);
        }
        // Also what no client would get past the first look.
        let checked = verifier.verify(&String::from_utf8_lossy(&text)).await;
        assert!(checked.is_err() || text == jwt.as_bytes(), "case {cases} of {seed}: {text:?} is not what was issued");

        let twice = random.random_bool(0.1).then(|| seeds.choose(&mut random).unwrap().as_slice());
        let headers = [Some(text.as_slice()), twice].into_iter().flatten();
        let credential = match random.random_range(0..3) {
            0 => Credential::from_headers(headers, []),
            1 => Credential::from_headers([], headers),
            _ => Some(Credential::from_bearer(&String::from_utf8_lossy(&text))),
        };
        let Some(credential) = credential else { continue };
        let verdict = bridge.authenticate(&credential).await;
        let told = bridge.explain(&credential).await;
        let shown = format!("{told:?} {credential:?}");
        assert!(!shown.contains(&TOKEN[..8]) && !shown.contains(&jwt[..8]), "case {cases} of {seed}: {shown}");
        let is_valid = matches!(verdict, Verdict::Valid(_));
        assert_eq!(is_valid, told.verdict == Outcome::Passed, "case {cases} of {seed}: {verdict:?} {told:?}");
        if is_valid {
            valid += 1;
            let decoded = |text: &[u8]| Cow::from(percent_decode(text)).into_owned();
            let presented = [decoded(&text), twice.map(decoded).unwrap_or_default()].concat();
            let contains = |whole: &str| presented.windows(whole.len()).any(|window| window == whole.as_bytes());
            assert!(contains(TOKEN) || contains(&jwt), "case {cases} of {seed}: {text:?}");
        }
    }
    let elapsed = start.elapsed();
    println!("{cases} cases in {elapsed:?}, {valid} of them valid");
    assert!(valid > 0 && valid < cases, "the seeds are good and most of what becomes of them is not");
}
