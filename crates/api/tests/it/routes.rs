//! What each route answers when all is well, and who may what.

use parlant_test_support::database;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::{People, Server, answer};

async fn house() -> (Server, People) {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    (Server::start(&database), people)
}

fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn status_tells_whether_the_caller_is_signed_in() {
    let (server, people) = house().await;
    let anonymous = server.get("/api/v1/auth/status").await;
    assert_eq!(anonymous.expect(200), json!({"authenticated": false}));

    let known = server.caller(&people.ada_token).get("/api/v1/auth/status").await;
    let known = known.expect(200);
    assert_eq!(names(&known), ["authenticated", "session", "user", "workspaces"]);
    assert_eq!(known["authenticated"], true);
    assert_eq!(names(&known["user"]), ["email", "email_verified", "id", "image", "name"]);
    assert_eq!(known["user"]["id"], *people.ada);
    assert_eq!(names(&known["session"]), ["active_organization_id", "expires_at", "id"]);
    assert!(known["session"]["expires_at"].as_str().unwrap().ends_with('Z'));
    let workspace = &known["workspaces"][0];
    assert_eq!(names(workspace), ["id", "name", "permissions", "role"]);
    assert_eq!(workspace["id"], *people.workspace);
    assert_eq!(workspace["role"], "admin");
    assert_eq!(workspace["permissions"], json!(["read", "write", "admin"]));

    let bad = server.caller("nobodys").get("/api/v1/auth/status").await;
    bad.refused(401, "INVALID_TOKEN");
    assert_eq!(bad.header("www-authenticate"), r#"Bearer realm="parlant", error="invalid_token""#);
}

#[tokio::test]
async fn whoever_needs_a_credential_is_told_so() {
    let (server, people) = house().await;
    let workspace = &people.workspace;
    for (method, path) in [
        (Method::GET, "/api/v1/auth/me".to_owned()),
        (Method::GET, "/api/v1/auth/workspaces".to_owned()),
        (Method::GET, format!("/api/v1/auth/workspaces/{workspace}/access")),
        (Method::POST, format!("/api/v1/auth/workspaces/{workspace}/context")),
        (Method::GET, "/api/v1/auth/cache/stats".to_owned()),
        (Method::GET, "/api/v1/agents".to_owned()),
        (Method::POST, "/api/v1/agents".to_owned()),
        (Method::GET, format!("/api/v1/agents/workspaces/{workspace}/agents")),
        (Method::GET, "/api/v1/agents/x".to_owned()),
        (Method::PATCH, "/api/v1/agents/x".to_owned()),
        (Method::DELETE, "/api/v1/agents/x".to_owned()),
        (Method::GET, "/api/v1/agents/sessions".to_owned()),
        (Method::POST, "/api/v1/agents/sessions".to_owned()),
        (Method::GET, "/api/v1/agents/sessions/x".to_owned()),
        (Method::DELETE, "/api/v1/agents/sessions/x".to_owned()),
        (Method::GET, "/api/v1/agents/sessions/x/messages".to_owned()),
        (Method::POST, "/api/v1/agents/sessions/x/messages".to_owned()),
    ] {
        let nothing = answer(server.request(method.clone(), &path)).await;
        nothing.refused(401, "AUTHENTICATION_REQUIRED");
        assert_eq!(nothing.header("www-authenticate"), r#"Bearer realm="parlant""#);
        // Nobody has seen this token, so that its answer takes longer than finding the body wrong.
        let token = Uuid::now_v7().simple().to_string();
        let request = server.request(method, &path).bearer_auth(token);
        let bad = answer(request.body("nonsense")).await;
        let details = bad.refused(401, "INVALID_TOKEN");
        assert_eq!(details, Value::Null);
        assert_eq!(bad.json()["error"]["message"], "Invalid or expired session token");
    }
}

#[tokio::test]
async fn a_cookie_does_as_well_and_the_header_wins_over_it() {
    let (server, people) = house().await;
    let cookie = format!("better-auth.session_token={}.{}=", people.ada_token, "A".repeat(43));
    let with_cookie = || server.request(Method::GET, "/api/v1/auth/me").header("cookie", &cookie);
    // The server has no secret here, so that it cannot tell a forged signature.
    let by_cookie = answer(with_cookie()).await;
    assert_eq!(by_cookie.expect(200)["user"]["id"], *people.ada);
    let both = answer(with_cookie().bearer_auth(&people.bob_token)).await;
    assert_ne!(both.expect(200)["user"]["id"], *people.ada);
    answer(with_cookie().bearer_auth("bad")).await.refused(401, "INVALID_TOKEN");
}

#[tokio::test]
async fn other_services_may_ask_what_a_token_is_worth() {
    let (server, people) = house().await;
    let ask = async |token: &str| {
        let request = server.request(Method::POST, "/api/v1/auth/validate");
        answer(request.json(&json!({ "token": token }))).await.expect(200)
    };
    let valid = ask(&people.ada_token).await;
    assert_eq!(names(&valid), ["expires_at", "user", "valid", "workspaces"]);
    assert_eq!(valid["valid"], true);
    assert_eq!(valid["user"]["id"], *people.ada);
    assert_eq!(ask("nobodys").await, json!({"valid": false}));
    assert_eq!(ask("").await, json!({"valid": false}));
}

#[tokio::test]
async fn the_caller_learns_about_itself_and_its_workspaces() {
    let (server, people) = house().await;
    let ada = server.caller(&people.ada_token);
    let me = ada.get("/api/v1/auth/me").await;
    assert_eq!(me.header("cache-control"), "no-store");
    let me = me.expect(200);
    assert_eq!(me["user"]["id"], *people.ada);
    let workspaces = ada.get("/api/v1/auth/workspaces").await.expect(200);
    assert_eq!(workspaces["workspaces"], me["workspaces"]);

    let path = format!("/api/v1/auth/workspaces/{}/access", people.workspace);
    let access = ada.get(&path).await.expect(200);
    assert_eq!(access["has_access"], true);
    assert_eq!(access["workspace"], me["workspaces"][0]);

    let statistics = ada.get("/api/v1/auth/cache/stats").await.expect(200);
    assert_eq!(
        names(&statistics),
        [
            "active_sessions",
            "expired_sessions",
            "hit_ratio",
            "hits",
            "max_size",
            "misses",
            "total_cached_sessions",
            "ttl_seconds"
        ]
    );
    assert_eq!(statistics["misses"], 1);
}

#[tokio::test]
async fn a_foreign_workspace_and_none_are_refused_alike() {
    let (server, people) = house().await;
    let ada = server.caller(&people.ada_token);
    let mut texts = Vec::new();
    for id in [people.bobs_workspace.as_str(), "no-such-workspace", "%00", "a%2Fb", "%FF"] {
        let path = format!("/api/v1/auth/workspaces/{id}/access");
        let refused = ada.get(&path).await;
        let details = refused.refused(403, "WORKSPACE_ACCESS_DENIED");
        assert_eq!(names(&details), ["required_permission", "user_id", "workspace_id"]);
        assert_eq!(details["user_id"], *people.ada);
        assert_eq!(details["required_permission"], "read");
        texts.push(refused.json()["error"]["message"].clone());
    }
    assert!(texts.iter().all(|text| *text == "Access denied to workspace ID"));
    let refused = ada.get("/api/v1/auth/workspaces/a%2Fb/access").await;
    assert_eq!(refused.refused(403, "WORKSPACE_ACCESS_DENIED")["workspace_id"], "a/b");
}

#[tokio::test]
async fn the_context_of_an_agent_is_one_person_in_one_workspace() {
    let (server, people) = house().await;
    let reader = server.caller(&people.reader_token);
    let path = format!("/api/v1/auth/workspaces/{}/context", people.workspace);
    let request = reader.request(Method::POST, &path);
    let context = answer(request).await.expect(200);
    assert_eq!(
        names(&context),
        ["agent_id", "created_at", "isolation_boundary", "session_id", "user_context", "workspace_id"]
    );
    assert_eq!(context["workspace_id"], *people.workspace);
    assert_eq!(context["agent_id"], Value::Null);
    assert_eq!(context["user_context"]["role"], "read");

    let agent = json!({"workspace_id": people.workspace, "name": "Guide"});
    let writer = server.caller(&people.writer_token);
    let agent = writer.post("/api/v1/agents", &agent).await.expect(201);
    let context = reader.post(&path, &json!({"agent_id": agent["id"]})).await;
    assert_eq!(context.expect(200)["agent_id"], agent["id"]);

    let foreign = format!("/api/v1/auth/workspaces/{}/context", people.bobs_workspace);
    reader.post(&foreign, &json!({})).await.refused(403, "WORKSPACE_ACCESS_DENIED");
    let bob = server.caller(&people.bob_token);
    let stolen = bob.post(&foreign, &json!({"agent_id": agent["id"]})).await;
    stolen.refused(404, "AGENT_NOT_FOUND");
}

#[tokio::test]
async fn an_agent_is_created_read_changed_and_deleted() {
    let (server, people) = house().await;
    let ada = server.caller(&people.ada_token);
    let new = json!({
        "workspace_id": people.workspace,
        "name": "Help desk",
        "description": "Answers",
        "guidelines": ["Be kind", {"condition": "a", "action": "b"}],
        "tools": [{"name": "search"}],
        "model": "small",
        "temperature": 0.5,
    });
    let created = ada.post("/api/v1/agents", &new).await;
    let agent = created.expect(201);
    let path = format!("/api/v1/agents/{}", agent["id"].as_str().unwrap());
    assert_eq!(created.header("location"), path);
    assert_eq!(created.header("etag"), "\"1\"");
    assert_eq!(
        names(&agent),
        [
            "created_at",
            "description",
            "guidelines",
            "id",
            "model",
            "name",
            "status",
            "temperature",
            "tools",
            "updated_at",
            "user_id",
            "workspace_id"
        ]
    );
    for (name, value) in new.as_object().unwrap() {
        assert_eq!(agent[name], *value, "{name}");
    }
    assert_eq!(agent["status"], "active");
    assert_eq!(agent["user_id"], *people.ada);

    let read = ada.get(&path).await;
    assert_eq!(read.expect(200), agent);
    assert_eq!(read.header("etag"), "\"1\"");

    let change = |if_match: &str| {
        let request = ada.request(Method::PATCH, &path).header("if-match", if_match);
        request.json(&json!({"name": format!("After {}", if_match.len()), "model": null}))
    };
    let changed = answer(change("\"1\"")).await;
    assert_eq!(changed.expect(200)["model"], Value::Null);
    assert_eq!(changed.header("etag"), "\"2\"");
    answer(change("\"1\"")).await.refused(412, "VERSION_CONFLICT");
    answer(change("\"1\", \"9\"")).await.refused(412, "VERSION_CONFLICT");
    answer(change("W/\"2\"")).await.refused(412, "VERSION_CONFLICT");
    let details = answer(change("2")).await.refused(400, "INVALID_REQUEST");
    assert_eq!(names(&details["field_errors"]), ["If-Match"]);
    answer(change("\"1\", \"2\"")).await.expect(200);
    answer(change("*")).await.expect(200);
    let unconditional = ada.patch(&path, &json!({"description": null})).await;
    assert_eq!(unconditional.expect(200)["description"], Value::Null);

    ada.delete(&path).await.expect(200);
    ada.get(&path).await.refused(404, "AGENT_NOT_FOUND");
    ada.delete(&path).await.refused(404, "AGENT_NOT_FOUND");
    answer(change("\"1\", \"2\"")).await.refused(404, "AGENT_NOT_FOUND");
}

#[tokio::test]
async fn the_agents_of_a_workspace_have_different_names_and_a_limit() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let mut options = crate::house::Options::new(&database);
    options.limits.agents_per_workspace = 2;
    options.limits.sessions_per_user = 1;
    let server = Server::with(options);
    let ada = server.caller(&people.ada_token);
    let agent = |name: &str| json!({"workspace_id": people.workspace, "name": name});
    ada.post("/api/v1/agents", &agent("One")).await.expect(201);
    let taken = ada.post("/api/v1/agents", &agent("One")).await;
    taken.refused(409, "AGENT_NAME_TAKEN");
    let two = ada.post("/api/v1/agents", &agent("Two")).await.expect(201);
    let full = ada.post("/api/v1/agents", &agent("Three")).await;
    full.refused(429, "WORKSPACE_LIMIT_EXCEEDED");
    assert_eq!(full.header("x-ratelimit-limit"), "2");
    assert_eq!(full.header("x-ratelimit-remaining"), "0");
    assert!(!full.header("retry-after").is_empty());
    assert!(!full.header("x-ratelimit-reset").is_empty());

    let session = json!({"workspace_id": people.workspace, "agent_id": two["id"]});
    ada.post("/api/v1/agents/sessions", &session).await.expect(201);
    let full = ada.post("/api/v1/agents/sessions", &session).await;
    full.refused(429, "WORKSPACE_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn permissions_decide_who_may_change_agents() {
    let (server, people) = house().await;
    let reader = server.caller(&people.reader_token);
    let writer = server.caller(&people.writer_token);
    let new = json!({"workspace_id": people.workspace, "name": "Of the writer"});
    let refused = reader.post("/api/v1/agents", &new).await;
    let details = refused.refused(403, "WORKSPACE_ACCESS_DENIED");
    assert_eq!(details["required_permission"], "write");
    let agent = writer.post("/api/v1/agents", &new).await.expect(201);
    let path = format!("/api/v1/agents/{}", agent["id"].as_str().unwrap());

    reader.get(&path).await.expect(200);
    let change = json!({"name": "Renamed"});
    reader.patch(&path, &change).await.refused(403, "WORKSPACE_ACCESS_DENIED");
    reader.delete(&path).await.refused(403, "WORKSPACE_ACCESS_DENIED");
    let bob = server.caller(&people.bob_token);
    bob.get(&path).await.refused(404, "AGENT_NOT_FOUND");
    bob.patch(&path, &change).await.refused(404, "AGENT_NOT_FOUND");
    bob.delete(&path).await.refused(404, "AGENT_NOT_FOUND");
    server.caller(&people.ada_token).delete(&path).await.expect(200);

    let new = json!({"workspace_id": people.workspace, "name": "Of the admin"});
    let agent = server.caller(&people.ada_token).post("/api/v1/agents", &new).await;
    let path = agent.header("location").to_owned();
    writer.patch(&path, &change).await.expect(200);
    let details = writer.delete(&path).await.refused(403, "WORKSPACE_ACCESS_DENIED");
    assert_eq!(details["required_permission"], "admin");
}

#[tokio::test]
async fn lists_are_pages_that_link_to_the_next() {
    let (server, people) = house().await;
    let ada = server.caller(&people.ada_token);
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let new = json!({"workspace_id": people.workspace, "name": name});
        let agent = ada.post("/api/v1/agents", &new).await.expect(201);
        ids.insert(0, agent["id"].clone());
    }
    for first in [
        "/api/v1/agents?limit=2".to_owned(),
        format!("/api/v1/agents?workspace_id={}&limit=2", people.workspace),
        format!("/api/v1/agents/workspaces/{}/agents?limit=2", people.workspace),
        format!("/api/v1/agents/workspaces/{}/agents/?limit=2", people.workspace),
    ] {
        let mut seen = Vec::new();
        let mut next = Some(first);
        while let Some(path) = next {
            let page = ada.get(&path).await;
            let agents = page.expect(200);
            assert!(agents.as_array().unwrap().len() <= 2);
            seen.extend(agents.as_array().unwrap().iter().map(|agent| agent["id"].clone()));
            let link = page.header("link");
            next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).map(str::to_owned);
            assert_eq!(next.is_some(), !link.is_empty());
        }
        assert_eq!(seen, ids);
    }
    let all = ada.get("/api/v1/agents").await;
    assert_eq!(all.expect(200).as_array().unwrap().len(), 5);
    assert_eq!(all.header("link"), "");
    let foreign = format!("/api/v1/agents?workspace_id={}", people.bobs_workspace);
    ada.get(&foreign).await.refused(403, "WORKSPACE_ACCESS_DENIED");
    let bob = server.caller(&people.bob_token);
    assert_eq!(bob.get("/api/v1/agents").await.expect(200), json!([]));
}

#[tokio::test]
async fn a_session_is_started_listed_and_ended() {
    let (server, people) = house().await;
    let writer = server.caller(&people.writer_token);
    let new = json!({"workspace_id": people.workspace, "name": "Guide"});
    let agent = writer.post("/api/v1/agents", &new).await.expect(201);

    let reader = server.caller(&people.reader_token);
    let new = json!({
        "agent_id": agent["id"], "workspace_id": people.workspace, "context": {"page": [1, {"a": null}]}
    });
    let started = reader.post("/api/v1/agents/sessions", &new).await;
    let session = started.expect(201);
    assert_eq!(
        names(&session),
        ["agent_id", "context", "created_at", "session_id", "status", "user_id", "workspace_id"]
    );
    assert_eq!(session["context"], new["context"]);
    assert_eq!(session["status"], "active");
    let path = started.header("location").to_owned();
    assert_eq!(path, format!("/api/v1/agents/sessions/{}", session["session_id"].as_str().unwrap()));
    assert_eq!(reader.get(&path).await.expect(200), session);

    // Owner and admin see it; another member does not.
    server.caller(&people.ada_token).get(&path).await.expect(200);
    writer.get(&path).await.refused(404, "SESSION_NOT_FOUND");
    writer.delete(&path).await.refused(404, "SESSION_NOT_FOUND");
    let list = |query: &str| format!("/api/v1/agents/sessions?{query}");
    let agent_id = agent["id"].as_str().unwrap();
    for query in [
        String::new(),
        format!("workspace_id={}", people.workspace),
        format!("agent_id={agent_id}"),
        "status=active".to_owned(),
        format!("agent_id={agent_id}&status=active&limit=1"),
    ] {
        let own = reader.get(&list(&query)).await.expect(200);
        assert_eq!(own, json!([session]), "{query}");
        let admins = server.caller(&people.ada_token).get(&list(&query)).await;
        assert_eq!(admins.expect(200), json!([session]), "{query}");
        assert_eq!(writer.get(&list(&query)).await.expect(200), json!([]), "{query}");
    }
    assert_eq!(reader.get(&list("status=ended")).await.expect(200), json!([]));

    let ended = reader.delete(&path).await.expect(200);
    assert_eq!(names(&ended), ["message"]);
    assert_eq!(reader.delete(&path).await.expect(200), ended);
    assert_eq!(reader.get(&path).await.expect(200)["status"], "ended");
    let messages = format!("{path}/messages");
    let late = reader.post(&messages, &json!({"content": "Still there?"})).await;
    late.refused(409, "SESSION_ENDED");

    let foreign = json!({"agent_id": agent["id"], "workspace_id": people.bobs_workspace});
    let bob = server.caller(&people.bob_token);
    bob.post("/api/v1/agents/sessions", &foreign).await.refused(404, "AGENT_NOT_FOUND");
}

#[tokio::test]
async fn messages_are_posted_once_and_read_by_offset() {
    let (server, people) = house().await;
    let ada = server.caller(&people.ada_token);
    let new = json!({"workspace_id": people.workspace, "name": "Guide"});
    let agent = ada.post("/api/v1/agents", &new).await.expect(201);
    let new = json!({"agent_id": agent["id"], "workspace_id": people.workspace});
    let reader = server.caller(&people.reader_token);
    let session = reader.post("/api/v1/agents/sessions", &new).await;
    let path = format!("{}/messages", session.header("location"));
    let session_id = session.expect(201)["session_id"].clone();

    let first = json!({
        "content": "Hello", "metadata": {"a": 1}, "message_type": "system", "session_id": session_id
    });
    let message = reader.post(&path, &first).await.expect(201);
    assert_eq!(names(&message), ["content", "id", "message_type", "metadata", "offset", "session_id", "timestamp"]);
    assert_eq!(message["offset"], 0);
    assert_eq!(message["content"], "Hello");
    assert_eq!(message["message_type"], "system");
    assert_eq!(message["metadata"], json!({"a": 1}));

    let keyed = |content: &str| {
        let request = reader.request(Method::POST, &path).header("idempotency-key", "k-1");
        request.json(&json!({ "content": content }))
    };
    let second = answer(keyed("Again")).await.expect(201);
    assert_eq!(second["message_type"], "user");
    assert_eq!(answer(keyed("Again")).await.expect(201), second);
    let details = answer(keyed("Different")).await.refused(400, "INVALID_REQUEST");
    assert_eq!(names(&details["field_errors"]), ["Idempotency-Key"]);
    let third = reader.post(&path, &json!({"content": "Third"})).await.expect(201);

    let read = reader.get(&format!("{path}?limit=2")).await.expect(200);
    assert_eq!(read, json!({"messages": [message, second], "total": 3, "offset": 0, "limit": 2}));
    for query in ["offset=2", "after=1"] {
        let rest = reader.get(&format!("{path}?{query}")).await.expect(200);
        assert_eq!(rest["messages"], json!([third]));
        assert_eq!(rest["offset"], 2);
    }
    // The admin reads along and says nothing; the other member has no such session.
    assert_eq!(ada.get(&path).await.expect(200)["total"], 3);
    ada.post(&path, &first).await.refused(404, "SESSION_NOT_FOUND");
    let writer = server.caller(&people.writer_token);
    writer.get(&path).await.refused(404, "SESSION_NOT_FOUND");
}
