//! Which pages may call.

use parlant_test_support::database;
use reqwest::Method;

use crate::house::{Answer, Options, People, Server, answer};

const SIM: &str = "https://sim.example.com";

async fn server(origins: &[&str]) -> (Server, People) {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let mut options = Options::new(&database);
    options.cors_origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    (Server::with(options), people)
}

async fn preflight(server: &Server, origin: &str, headers: &str) -> Answer {
    let request = server
        .request(Method::OPTIONS, "/api/v1/agents")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", headers);
    answer(request).await
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_with_credentials() {
    let (server, people) = server(&[SIM, "http://localhost:3000"]).await;
    let allowed = preflight(&server, SIM, "authorization,content-type,idempotency-key,if-match").await;
    assert_eq!(allowed.status, 200, "a preflight has no credential");
    assert_eq!(allowed.header("access-control-allow-origin"), SIM);
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    assert!(allowed.header("access-control-allow-methods").contains("PATCH"));
    assert!(!allowed.header("x-request-id").is_empty());

    for (token, status) in [(people.ada_token.as_str(), 200), ("bad", 401)] {
        let request = server.caller(token).request(Method::GET, "/api/v1/agents");
        let answer = answer(request.header("origin", SIM)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), SIM);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        let exposed = answer.header("access-control-expose-headers").to_ascii_lowercase();
        for name in ["x-request-id", "link", "etag", "location"] {
            assert!(exposed.contains(name), "{name} in {exposed}");
        }
        assert!(answer.header("vary").to_ascii_lowercase().contains("origin"));
    }
    let request = server.request(Method::GET, "/nowhere").header("origin", SIM);
    let missing = answer(request).await;
    missing.refused(404, "NOT_FOUND");
    assert_eq!(missing.header("access-control-allow-origin"), SIM);
}

#[tokio::test]
async fn origins_that_only_look_alike_get_nothing() {
    let (server, people) = server(&[SIM]).await;
    for origin in [
        "https://sim.example.com.evil.example",
        "https://evil-sim.example.com",
        "https://sim.example.com:8443",
        "http://sim.example.com",
        "https://SIM.example.com",
        "https://sim.example.com/",
        "https://sim.example.co",
        "https://example.com",
        "null",
        "*",
        "https://evil.example https://sim.example.com",
    ] {
        let refused = preflight(&server, origin, "content-type").await;
        refused.refused(400, "INVALID_REQUEST");
        let request = server.caller(&people.ada_token).request(Method::GET, "/api/v1/agents");
        let answer = answer(request.header("origin", origin)).await;
        for refused in [refused, answer] {
            assert_eq!(refused.header("access-control-allow-origin"), "", "{origin}");
        }
    }
    let refused = preflight(&server, SIM, "x-user-id").await;
    refused.refused(400, "INVALID_REQUEST");
}

#[tokio::test]
async fn nothing_configured_allows_nobody() {
    let (server, people) = server(&[]).await;
    let refused = preflight(&server, SIM, "content-type").await;
    refused.refused(405, "METHOD_NOT_ALLOWED");
    let request = server.caller(&people.ada_token).request(Method::GET, "/api/v1/agents");
    let answer = answer(request.header("origin", SIM)).await;
    assert_eq!(answer.status, 200);
    for refused in [refused, answer] {
        assert_eq!(refused.header("access-control-allow-origin"), "");
        assert_eq!(refused.header("access-control-allow-credentials"), "");
    }
}
