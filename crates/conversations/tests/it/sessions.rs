use std::collections::BTreeSet;

use futures_util::future::join_all;
use futures_util::{FutureExt as _, future::join};
use parlant_auth_bridge::Permission;
use parlant_conversations::{Actor, Agent, Error, Limits, ListSessions, NewSession, Session, SessionStatus, check};
use serde_json::json;
use uuid::Uuid;

use crate::house::{House, SESSIONS, admin, house, house_with, invalid, new_session, reader};

async fn list(house: &House, actor: &Actor<'_>, list: ListSessions<'_>) -> Vec<Session> {
    let page = house.conversations.list_sessions(actor, list).await.unwrap();
    page.items
}

fn ids(sessions: &[Session]) -> Vec<Uuid> {
    sessions.iter().map(|session| session.id).collect()
}

#[tokio::test]
async fn a_session_looks_as_the_contract_says() {
    let house = house().await;
    let agent = house.agent("w", "Help").await;
    let ada = reader("ada", "w");
    let new = NewSession { context: Some(json!({"page": {"url": "/pricing"}})), ..new_session(&agent) };
    let started = house.conversations.start_session(&ada, new).await.unwrap();
    let json = serde_json::to_value(&started).unwrap();
    let created_at = json["created_at"].clone();
    assert!(created_at.as_str().unwrap().ends_with('Z'), "{created_at}");
    assert_eq!(
        json,
        json!({
            "session_id": started.id.to_string(),
            "agent_id": agent.id.to_string(),
            "workspace_id": "w",
            "user_id": "ada",
            "status": "active",
            "created_at": created_at,
            "context": {"page": {"url": "/pricing"}},
        })
    );
    let read = house.conversations.session(&ada, started.id).await.unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), json);
    let plain = house.session(&ada, &agent).await;
    assert_eq!(plain.context.as_str(), "{}");
}

#[tokio::test]
async fn a_session_needs_an_active_agent_of_the_named_workspace() {
    let house = house().await;
    let here = house.agent("w", "Help").await;
    let there = house.agent("v", "Help").await;
    let both = Actor::new("ada", [("w", Permission::Admin), ("v", Permission::Admin)]);
    let attempts = [(there.id, "w"), (here.id, "v"), (Uuid::now_v7(), "w")];
    for (agent_id, workspace_id) in attempts {
        let new = NewSession { agent_id, workspace_id: workspace_id.to_owned(), context: None };
        let result = house.conversations.start_session(&both, new).await;
        assert!(matches!(result, Err(Error::AgentNotFound)), "{result:?}");
    }
    assert_eq!(house.count("select count(*) from parlant_session").await, 0);
}

#[tokio::test]
async fn the_limit_of_a_user_is_exact_over_all_workspaces_however_many_start_at_once() {
    let limits = Limits { sessions_per_user: 5, ..Limits::default() };
    let house = house_with(limits).await;
    let agents = [house.agent("w", "Help").await, house.agent("v", "Help").await];
    let ada = Actor::new("ada", [("w", Permission::Read), ("v", Permission::Read)]);
    let start = async |number: usize| {
        let new = new_session(&agents[number % 2]);
        house.conversations.start_session(&ada, new).await
    };
    let results = join_all((0..20).map(start)).await;
    let (started, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(started.len(), 5);
    for result in refused {
        assert!(matches!(result, Err(Error::SessionLimit { max: 5 })), "{result:?}");
    }
    assert_eq!(house.count("select count(*) from parlant_session").await, 5);

    house.session(&reader("bob", "w"), &agents[0]).await;
    let session = started[0].as_ref().unwrap();
    house.conversations.end_session(&ada, session.id).await.unwrap();
    start(0).await.unwrap();
}

#[tokio::test]
async fn ending_is_for_ever_and_twice_is_fine() {
    let house = house().await;
    let agent = house.agent("w", "Help").await;
    let ada = reader("ada", "w");
    let by_owner = house.session(&ada, &agent).await;
    let by_admin = house.session(&ada, &agent).await;
    for (actor, session) in [(&ada, &by_owner), (&admin("eve", "w"), &by_admin)] {
        for _ in 0..2 {
            let ended = house.conversations.end_session(actor, session.id).await.unwrap();
            assert_eq!(ended.status, SessionStatus::Ended);
            assert_eq!(ended.id, session.id);
        }
        let read = house.conversations.session(&ada, session.id).await.unwrap();
        assert_eq!(read.status, SessionStatus::Ended);
    }
}

/// Sessions of three users with each agent, newest first. Some have ended.
async fn many_sessions(house: &House, agents: &[Agent]) -> Vec<Session> {
    let mut all = Vec::new();
    let users = ["ada", "bob", "ada", "eve", "ada", "bob"];
    for (number, user) in users.into_iter().enumerate() {
        for agent in agents {
            let actor = reader(user, &agent.workspace_id);
            let mut session = house.session(&actor, agent).await;
            if number % 3 == 0 {
                let ended = house.conversations.end_session(&actor, session.id).await;
                session = ended.unwrap();
            }
            all.insert(0, session);
        }
    }
    all
}

#[tokio::test]
async fn a_list_shows_the_own_sessions_and_to_an_admin_everybodys() {
    let house = house().await;
    let agents = [
        house.agent("w", "a").await,
        house.agent("w", "b").await,
        house.agent("v", "c").await,
        house.agent("hidden", "d").await,
    ];
    let all = many_sessions(&house, &agents).await;

    // Ada reads one workspace, administers another, and has lost a third.
    let ada = Actor::new("ada", [("w", Permission::Read), ("v", Permission::Admin)]);
    let sees =
        |session: &Session| session.workspace_id == "v" || (session.workspace_id == "w" && session.user_id == "ada");
    let statuses = [None, Some(SessionStatus::Active), Some(SessionStatus::Ended)];
    let agent_ids: Vec<_> = agents.iter().map(|agent| Some(agent.id)).chain([None]).collect();
    let mut asked = BTreeSet::new();
    for status in statuses {
        for &agent_id in &agent_ids {
            for workspace_id in [None, Some("w"), Some("v")] {
                let filter = ListSessions { workspace_id, agent_id, status, ..SESSIONS };
                let expected: Vec<_> = all
                    .iter()
                    .filter(|session| sees(session))
                    .filter(|session| workspace_id.is_none_or(|id| session.workspace_id == id))
                    .filter(|session| agent_id.is_none_or(|id| session.agent_id == id))
                    .filter(|session| status.is_none_or(|status| session.status == status))
                    .map(|session| session.id)
                    .collect();
                let found = ids(&list(&house, &ada, filter).await);
                assert_eq!(found, expected, "{filter:?}");
                asked.insert(expected.len());

                // The same, two at a time.
                let mut pages = Vec::new();
                let mut filter = ListSessions { limit: 2, ..filter };
                loop {
                    let page = house.conversations.list_sessions(&ada, filter).await.unwrap();
                    pages.extend(ids(&page.items));
                    if page.next.is_none() {
                        break;
                    }
                    filter.cursor = page.next;
                }
                assert_eq!(pages, expected, "{filter:?}");
            }
        }
    }
    assert!(asked.len() >= 5, "the filters made a difference: {asked:?}");

    let hidden = ListSessions { workspace_id: Some("hidden"), ..SESSIONS };
    let result = house.conversations.list_sessions(&ada, hidden).await;
    assert!(matches!(result, Err(Error::PermissionDenied { .. })), "{result:?}");
}

#[tokio::test]
async fn no_session_outlives_its_agent_even_when_both_happen_at_once() {
    let house = house().await;
    let eve = admin("eve", "w");
    let users: Vec<_> = (0..5).map(|number| format!("user-{number}")).collect();
    for round in 0..10 {
        let agent = house.agent("w", &round.to_string()).await;
        let starts = users.iter().map(async |user| {
            let result = house.conversations.start_session(&reader(user, "w"), new_session(&agent)).await;
            assert!(matches!(result, Ok(_) | Err(Error::AgentNotFound)), "{result:?}");
        });
        let archive = house.conversations.archive_agent(&eve, agent.id).boxed_local();
        let (_, archived) = join(join_all(starts), archive).await;
        archived.unwrap();
    }
    let left = "select count(*) from parlant_session where status = 'active'";
    assert_eq!(house.count(left).await, 0);
}

#[tokio::test]
async fn a_context_must_be_an_object_that_can_be_stored() {
    let house = house().await;
    let agent = house.agent("w", "Help").await;
    let large = "c".repeat(check::MAX_CONTEXT_BYTES);
    for context in [json!([]), json!("text"), json!({"a": "\0"}), json!({ "a": large })] {
        let new = NewSession { context: Some(context), ..new_session(&agent) };
        let result = house.conversations.start_session(&reader("ada", "w"), new).await;
        assert_eq!(invalid(result), ["context"]);
    }
    assert_eq!(house.count("select count(*) from parlant_session").await, 0);
}
