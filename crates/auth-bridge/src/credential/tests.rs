use super::*;

const TOKEN: &str = "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv";
const ENCODED: &str = "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv.pt9G2nm%2FsR%2Fp82anLDE%2FNLrYo0m1ueDKhFcakLU7hI8%3D";
const SIGNED: &str = "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv.pt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8=";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJl";

/// Value, form and carrier of what a request with these headers presents.
fn parsed(authorization: &[&str], cookies: &[&str]) -> Option<(String, Result<&'static str, Reason>, Carrier)> {
    let credential = Credential::from_headers(
        authorization.iter().map(|value| value.as_bytes()),
        cookies.iter().map(|value| value.as_bytes()),
    )?;
    let form = credential.form().map(|form| match form {
        Form::Signed(_) => "signed",
        Form::Raw => "raw",
        Form::Jwt => "jwt",
    });
    Some((credential.value, form, credential.carrier))
}

fn bearer(token: &str) -> Result<&'static str, Reason> {
    parsed(&[&format!("Bearer {token}")], &[]).unwrap().1
}

#[test]
fn a_bearer_token_is_known_by_its_form() {
    assert_eq!(bearer(TOKEN), Ok("raw"));
    assert_eq!(bearer(SIGNED), Ok("signed"));
    assert_eq!(bearer(ENCODED), Ok("signed"));
    assert_eq!(bearer(JWT), Ok("jwt"));
}

#[test]
fn what_has_no_form_is_malformed() {
    let long_token = "a".repeat(129);
    let long_jwt = format!("{JWT}{}", "a".repeat(8 * 1024));
    for token in [
        "",
        ".",
        "..",
        "a.b",
        "a..b",
        "header.payload.",
        "a.b.c.d",
        "tok en",
        "töken",
        "tok\0en",
        "a%00b",
        "%ff%fe",
        "tok;en",
        "tok'en--",
        ".pt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8=",
        "token.pt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8",
        "token.pt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI==",
        "token.pt9G2nm!sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8=",
        "a.b.pt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8=",
        &long_token,
        &long_jwt,
    ] {
        assert_eq!(bearer(token), Err(Reason::Malformed), "{token}");
    }
}

#[test]
fn nothing_of_a_malformed_credential_is_kept() {
    assert_eq!(parsed(&["Bearer not a token"], &[]).unwrap().0, "");
}

#[test]
fn a_raw_token_may_have_1_to_128_characters() {
    assert_eq!(bearer("a"), Ok("raw"));
    assert_eq!(bearer(&"a".repeat(128)), Ok("raw"));
}

#[test]
fn cookies_carry_signed_tokens_only() {
    let cookie = |value: &str| parsed(&[], &[&format!("better-auth.session_token={value}")]).unwrap().1;
    assert_eq!(cookie(ENCODED), Ok("signed"));
    assert_eq!(cookie(SIGNED), Ok("signed"));
    assert_eq!(cookie(TOKEN), Err(Reason::Unsigned));
    assert_eq!(cookie(JWT), Err(Reason::Unsigned));
    assert_eq!(cookie("a.b"), Err(Reason::Malformed));
}

#[test]
fn the_cookie_is_read_as_sim_reads_it() {
    for header in [
        format!("better-auth.session_token={ENCODED}"),
        format!("a=b; better-auth.session_token={ENCODED}; c"),
        format!("  better-auth.session_token = {ENCODED} ;"),
        format!("better-auth.session_token=\"{ENCODED}\""),
        format!("better-auth.session_token={ENCODED}; better-auth.session_token=second"),
        format!("Better-Auth.Session_Token=other; xbetter-auth.session_token=x; better-auth.session_token={ENCODED}"),
    ] {
        let expected = Some((SIGNED.to_owned(), Ok("signed"), Carrier::Cookie));
        assert_eq!(parsed(&[], &[&header]), expected, "{header}");
    }
    let quoted_twice = format!("better-auth.session_token=\"\"{ENCODED}\"\"");
    assert_eq!(parsed(&[], &[&quoted_twice]).unwrap().1, Err(Reason::Malformed));
}

#[test]
fn the_secure_cookie_goes_before_the_plain_one_in_any_order_and_header() {
    let (secure, plain) = (format!("__Secure-better-auth.session_token={ENCODED}"), "better-auth.session_token=other");
    for cookies in [vec![format!("{plain}; {secure}")], vec![plain.to_owned(), secure.clone()]] {
        let cookies: Vec<_> = cookies.iter().map(String::as_str).collect();
        assert_eq!(parsed(&[], &cookies).unwrap().2, Carrier::SecureCookie);
    }
}

#[test]
fn an_empty_cookie_is_none() {
    assert_eq!(parsed(&[], &["better-auth.session_token="]), None);
    assert_eq!(parsed(&[], &["better-auth.session_token=\"\""]), None);
    let signed_out_of_https = format!("__Secure-better-auth.session_token=; better-auth.session_token={ENCODED}");
    assert_eq!(parsed(&[], &[&signed_out_of_https]).unwrap().2, Carrier::Cookie);
}

#[test]
fn the_header_wins_however_it_is_spelled_and_however_broken() {
    let cookie = format!("better-auth.session_token={ENCODED}");
    for header in ["Bearer a", "bearer a", "BEARER   a  ", "Bearer\ta"] {
        let expected = Some(("a".to_owned(), Ok("raw"), Carrier::Bearer));
        assert_eq!(parsed(&[header], &[&cookie]), expected, "{header}");
    }
    for header in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b"] {
        assert_eq!(parsed(&[header], &[&cookie]).unwrap().1, Err(Reason::Malformed), "{header}");
    }
}

#[test]
fn another_scheme_is_passed_over() {
    let cookie = format!("better-auth.session_token={ENCODED}");
    for header in ["Basic YTpi", "", "Bearertoken", "Token a"] {
        assert_eq!(parsed(&[header], &[&cookie]).unwrap().2, Carrier::Cookie, "{header}");
        assert_eq!(parsed(&[header], &[]), None, "{header}");
    }
    assert_eq!(parsed(&["Basic YTpi", "Bearer a"], &[]).unwrap().2, Carrier::Bearer);
}

#[test]
fn two_bearer_headers_are_refused() {
    assert_eq!(parsed(&["Bearer a", "Bearer a"], &[]).unwrap().1, Err(Reason::Malformed));
}

#[test]
fn debug_shows_nothing_of_the_credential() {
    for credential in [Credential::from_bearer(TOKEN), Credential::from_bearer(SIGNED), Credential::from_bearer(JWT)] {
        let shown = format!("{credential:?}");
        assert!(!shown.contains("fpa6") && !shown.contains("eyJ") && !shown.contains("pt9G"), "{shown}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_parsed(authorization: Vec<u8>, cookie: Vec<u8>) {
        let bearer = [b"Bearer ".as_slice(), &authorization].concat();
        let named = [b"better-auth.session_token=".as_slice(), &cookie].concat();
        let _ = Credential::from_headers([authorization.as_slice()], [cookie.as_slice()]);
        assert!(Credential::from_headers([bearer.as_slice()], []).is_some());
        let _ = Credential::from_headers([], [named.as_slice()]);
    }
}
