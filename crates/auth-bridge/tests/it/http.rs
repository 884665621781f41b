//! The HTTP source against a false Sim that says what the true one says, and worse.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use parlant_auth_bridge::{AuthBridge, Config, ConfigError, Credential, HttpConfig, HttpSource, Permission, Verdict};
use parlant_test_support::{signed, signed_cookie};
use secrecy::SecretString;
use serde_json::json;

use crate::memory::{SECRET, present, word};
use crate::web::{Reply, Request, Web};

const SESSION: &str = "GET /api/auth/get-session";
const PROOF: &str = "POST /api/auth/one-time-token/verify";
const WORKSPACES: &str = "GET /api/workspaces";
const TOKEN: &str = "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv";

fn session() -> serde_json::Value {
    json!({
        "user": {
            "id": "u1", "name": "Ada", "email": "ada@example.com", "emailVerified": true, "image": null,
            "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
            "role": "user", "banned": false, "banReason": null, "banExpires": null,
        },
        "session": {
            "id": "s1", "token": TOKEN, "userId": "u1", "expiresAt": Utc::now() + TimeDelta::days(30),
            "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
            "ipAddress": null, "userAgent": null, "impersonatedBy": null,
        },
    })
}

fn workspaces() -> Reply {
    let answer = json!({"workspaces": [
        {"id": "w3", "name": "C", "role": "member", "permissions": "read", "archivedAt": null},
        {"id": "w1", "name": "A", "role": "owner", "permissions": "admin", "isOrgAdmin": false},
        {"id": "w2", "name": "B", "permissions": "admin", "archivedAt": "2026-01-01T00:00:00.000Z"},
        {"id": "w4", "name": "D", "permissions": "comment"},
        {"id": "w5", "name": "E", "permissions": null},
    ], "lastActiveWorkspaceId": null});
    Reply::Json(200, answer.to_string())
}

/// What Better Auth says of a token that it looked up and did not find.
fn not_found() -> Reply {
    Reply::Json(400, json!({"message": "Invalid token"}).to_string())
}

fn null() -> Reply {
    Reply::Json(200, "null".to_owned())
}

/// A Sim that is well, but for one route.
async fn sim(route: &'static str, answer: impl Fn() -> Reply + Send + Sync + 'static) -> Web {
    Web::serve(move |request: &Request| match &request.line {
        line if line.starts_with(route) => answer(),
        line if line.starts_with(SESSION) => Reply::Json(200, session().to_string()),
        line if line.starts_with(PROOF) => not_found(),
        line if line.starts_with(WORKSPACES) => workspaces(),
        _ => Reply::Json(404, String::new()),
    })
    .await
}

fn bridge(base_url: &str, secret: Option<&str>) -> AuthBridge {
    let mut http = HttpConfig::new(base_url);
    http.timeout = Duration::from_millis(700);
    let config = Config { better_auth_secret: secret.map(SecretString::from), ..Config::default() };
    AuthBridge::new(&config, Arc::new(HttpSource::new(&http).unwrap())).unwrap()
}

async fn verdict(web: &Web) -> &'static str {
    present(&bridge(&web.url(), Some(SECRET)), TOKEN).await
}

#[tokio::test]
async fn a_session_comes_with_its_live_workspaces() {
    let web = sim("nothing", null).await;
    let verdict = bridge(&web.url(), Some(SECRET)).authenticate(&Credential::from_bearer(TOKEN)).await;
    let Verdict::Valid(identity) = verdict else { panic!("{verdict:?}") };
    assert_eq!((identity.user.id.as_str(), identity.session.id.as_str()), ("u1", "s1"));
    let seen: Vec<_> = identity.workspaces.iter().map(|w| (w.id.as_str(), w.permission)).collect();
    assert_eq!(seen, [("w1", Permission::Admin), ("w3", Permission::Read)]);
}

#[tokio::test]
async fn only_the_session_cookie_and_the_clients_address_are_handed_on() {
    let web = sim("nothing", null).await;
    let header = format!(
        "theme=dark; __Secure-better-auth.session_data=cached; __Secure-better-auth.session_token={}",
        signed_cookie(TOKEN, SECRET)
    );
    let credential = Credential::from_cookies([header.as_bytes()]).unwrap().with_client("2001:db8::7".parse().unwrap());
    let verdict = bridge(&web.url(), None).authenticate(&credential).await;
    assert_eq!(word(&verdict), "valid");
    let requests = web.requests();
    assert_eq!(requests[0].line, format!("{SESSION}?disableCookieCache=true&disableRefresh=true"));
    assert_eq!(requests[1].line, format!("{WORKSPACES}?scope=all"));
    for request in requests {
        let cookie = format!("__Secure-better-auth.session_token={}", signed_cookie(TOKEN, SECRET));
        assert_eq!(request.header("cookie"), Some(cookie.as_str()));
        assert_eq!(request.header("x-forwarded-for"), Some("2001:db8::7"));
        assert_eq!(request.header("authorization"), None);
    }
}

#[tokio::test]
async fn a_bearer_token_goes_under_both_names_and_signed() {
    let web = sim("nothing", null).await;
    let value = signed_cookie(TOKEN, SECRET);
    let both = format!("__Secure-better-auth.session_token={value}; better-auth.session_token={value}");
    assert_eq!(present(&bridge(&web.url(), Some(SECRET)), TOKEN).await, "valid");
    assert_eq!(present(&bridge(&web.url(), None), &signed(TOKEN, SECRET)).await, "valid");
    for request in web.requests() {
        assert_eq!(request.header("cookie"), Some(both.as_str()));
        assert_eq!(request.header("x-forwarded-for"), None);
    }
}

#[tokio::test]
async fn null_is_signed_out_when_the_database_answers_and_null_comes_again() {
    let web = sim(SESSION, null).await;
    assert_eq!(verdict(&web).await, "unknown_session");
    assert_eq!((web.count("get-session"), web.count("one-time-token/verify"), web.count("workspaces")), (2, 1, 0));
    let proof = web.requests().into_iter().find(|request| request.line.starts_with(PROOF)).unwrap();
    assert_eq!(proof.header("cookie"), None);
    assert_eq!(proof.header("content-type"), Some("application/json"));
    assert_eq!(proof.body, r#"{"token":"parlant"}"#);
}

#[tokio::test]
async fn null_is_an_outage_when_the_database_does_not_answer() {
    for (status, body) in [
        (500, ""),
        (429, r#"{"message":"Too many requests. Please try again later."}"#),
        (401, r#"{"message":"Unauthorized","code":"UNAUTHORIZED"}"#),
        (400, r#"{"message":"[body.token] Invalid input","code":"VALIDATION_ERROR"}"#),
        (403, r#"{"message":"Invalid origin"}"#),
        (404, ""),
        (200, "null"),
    ] {
        let web =
            Web::serve(
                move |request| {
                    if request.line.starts_with(PROOF) { Reply::Json(status, body.to_owned()) } else { null() }
                },
            )
            .await;
        assert_eq!(verdict(&web).await, "unknown", "{status} {body}");
    }
}

#[tokio::test]
async fn a_database_that_comes_back_between_the_questions_signs_nobody_out() {
    let asked = AtomicUsize::new(0);
    let web = sim(SESSION, move || {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 { null() } else { Reply::Json(200, session().to_string()) }
    })
    .await;
    assert_eq!(verdict(&web).await, "valid");
}

#[tokio::test]
async fn every_other_answer_is_an_outage() {
    let broken: Vec<(&str, Reply)> = vec![
        ("500", Reply::Json(500, String::new())),
        ("502", Reply::Json(502, "null".to_owned())),
        ("429", Reply::Json(429, r#"{"message":"Too many requests. Please try again later."}"#.to_owned())),
        ("401", Reply::Json(401, "null".to_owned())),
        ("404", Reply::Json(404, String::new())),
        ("204", Reply::Json(204, String::new())),
        ("redirect", Reply::Redirect("/login".to_owned())),
        ("empty", Reply::Json(200, String::new())),
        ("html", Reply::Json(200, "<html>login</html>".to_owned())),
        ("other json", Reply::Json(200, "{}".to_owned())),
        ("half a session", Reply::Json(200, r#"{"user":{"id":"u1"},"session":null}"#.to_owned())),
        ("half a body", Reply::Half { promised: 2000, sent: "{\"user\":".to_owned() }),
        ("half a null", Reply::Half { promised: 2000, sent: "null".to_owned() }),
        ("endless", Reply::Endless),
        ("hang", Reply::Hang),
    ];
    for (name, reply) in broken {
        for route in [SESSION, WORKSPACES] {
            let reply = reply.clone();
            let web = sim(route, move || reply.clone()).await;
            let start = Instant::now();
            assert_eq!(verdict(&web).await, "unknown", "{name} of {route}");
            assert!(start.elapsed() < Duration::from_secs(5), "{name} of {route}");
        }
    }
    let nobody = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    assert_eq!(present(&bridge(&url, Some(SECRET)), TOKEN).await, "unknown");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let web = sim(SESSION, || Reply::Redirect("/stolen".to_owned())).await;
    assert_eq!(verdict(&web).await, "unknown");
    assert_eq!(web.count("stolen"), 0);
}

#[tokio::test]
async fn a_workspace_list_that_fails_is_not_no_workspaces() {
    let asked = AtomicUsize::new(0);
    let web = sim(WORKSPACES, move || {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 { Reply::Json(500, String::new()) } else { workspaces() }
    })
    .await;
    let bridge = bridge(&web.url(), Some(SECRET));
    assert_eq!(present(&bridge, TOKEN).await, "unknown");
    let verdict = bridge.authenticate(&Credential::from_bearer(TOKEN)).await;
    let Verdict::Valid(identity) = verdict else { panic!("{verdict:?}") };
    assert_eq!(identity.permission("w1"), Some(Permission::Admin));
}

#[tokio::test]
async fn a_ban_counts_until_its_end() {
    let (hour, cases) = (TimeDelta::hours(1), Utc::now());
    for (banned, expires, expected) in [
        (json!(true), json!(null), "banned"),
        (json!(true), json!(cases + hour), "banned"),
        (json!(true), json!(cases - hour), "valid"),
        (json!(false), json!(cases + hour), "valid"),
        (json!(null), json!(null), "valid"),
    ] {
        let mut answer = session();
        answer["user"]["banned"] = banned.clone();
        answer["user"]["banExpires"] = expires.clone();
        let web = sim(SESSION, move || Reply::Json(200, answer.to_string())).await;
        assert_eq!(verdict(&web).await, expected, "banned {banned} until {expires}");
    }
}

#[tokio::test]
async fn what_may_be_missing_may_be_missing() {
    let answer = json!({
        "user": {"id": "u1", "email": "ada@example.com"},
        "session": {"id": "s1", "expiresAt": Utc::now() + TimeDelta::days(1), "activeOrganizationId": "o1"},
    });
    let web = sim(SESSION, move || Reply::Json(200, answer.to_string())).await;
    assert_eq!(verdict(&web).await, "valid");
}

#[tokio::test]
async fn the_cause_of_an_outage_names_no_address() {
    let web = sim(SESSION, || Reply::Json(500, String::new())).await;
    let bridge = bridge(&web.url(), Some(SECRET));
    drop(web);
    let Verdict::Unknown(cause) = bridge.authenticate(&Credential::from_bearer(TOKEN)).await else {
        panic!("nobody is there")
    };
    assert!(cause.to_string().starts_with("Sim's get-session: no answer: "), "{cause}");
    assert!(!cause.to_string().contains("disableCookieCache") && !cause.to_string().contains(TOKEN), "{cause}");
}

#[tokio::test]
async fn a_path_before_sims_routes_is_kept() {
    let web = Web::serve(|request| {
        assert!(request.line.contains(" /sim/api/"), "{}", request.line);
        null()
    })
    .await;
    present(&bridge(&format!("{}/sim/", web.url()), Some(SECRET)), TOKEN).await;
    assert_eq!(web.requests()[0].line, "GET /sim/api/auth/get-session?disableCookieCache=true&disableRefresh=true");
}

#[test]
fn an_address_that_is_none_is_an_error_at_the_start() {
    for url in ["", "sim", "localhost:3000", "ftp://sim", "http://", "http://u:p@sim", "http://sim?x=1", "http://sim#x"]
    {
        assert!(matches!(HttpSource::new(&HttpConfig::new(url)), Err(ConfigError::BaseUrl)), "{url}");
    }
}

#[tokio::test]
async fn a_client_that_sim_sends_away_is_not_asked_about_until_then() {
    let limited = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let says = Arc::clone(&limited);
    let web = sim(SESSION, move || {
        if says.load(Ordering::SeqCst) { Reply::Limited(1) } else { Reply::Json(200, session().to_string()) }
    })
    .await;
    let config = Config { caching: false, better_auth_secret: Some(SecretString::from(SECRET)), ..Config::default() };
    let source = HttpSource::new(&HttpConfig::new(web.url())).unwrap();
    let bridge = AuthBridge::new(&config, Arc::new(source)).unwrap();
    let from = |address: &str| Credential::from_bearer(TOKEN).with_client(address.parse().unwrap());
    for _ in 0..10 {
        let verdict = bridge.authenticate(&from("192.0.2.1")).await;
        let Verdict::Unknown(cause) = verdict else { panic!("{verdict:?}") };
        assert!(cause.retry_after().is_some_and(|wait| wait <= Duration::from_secs(1)), "{cause}");
    }
    assert_eq!(web.count("get-session"), 1);
    limited.store(false, Ordering::SeqCst);
    assert_eq!(word(&bridge.authenticate(&from("192.0.2.2")).await), "valid", "another client");
    assert_eq!(word(&bridge.authenticate(&from("192.0.2.1")).await), "unknown");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(word(&bridge.authenticate(&from("192.0.2.1")).await), "valid");
}
