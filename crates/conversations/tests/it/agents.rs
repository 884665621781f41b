use futures_util::future::join_all;
use parlant_auth_bridge::Permission;
use parlant_conversations::{
    Actor, Agent, AgentPatch, Change, Class, Cursor, Error, Limits, ListAgents, NewAgent, check,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::{AGENTS, House, admin, house, house_with, invalid, new_agent, new_session, reader, writer};

fn full(name: &str) -> NewAgent {
    NewAgent {
        description: Some("Answers".to_owned()),
        guidelines: vec![json!({"condition": "greeted", "action": "greet"}), json!("Be kind")],
        tools: vec![json!("search")],
        model: Some("small".to_owned()),
        temperature: Some(0.7),
        ..new_agent("w", name)
    }
}

async fn names(house: &House, actor: &Actor<'_>, list: ListAgents<'_>) -> Vec<String> {
    let page = house.conversations.list_agents(actor, list).await.unwrap();
    page.items.into_iter().map(|agent| agent.name).collect()
}

#[tokio::test]
async fn an_agent_looks_as_the_contract_says() {
    let house = house().await;
    let ada = writer("ada", "w");
    let created = house.conversations.create_agent(&ada, full("Help")).await.unwrap();
    let read = house.conversations.agent(&ada, created.id).await.unwrap();
    let json = serde_json::to_value(&read).unwrap();
    assert_eq!(json, serde_json::to_value(&created).unwrap());
    let (created_at, updated_at) = (json["created_at"].clone(), json["updated_at"].clone());
    assert!(created_at.as_str().unwrap().ends_with('Z'), "{created_at}");
    assert_eq!(
        json,
        json!({
            "id": created.id.to_string(),
            "name": "Help",
            "description": "Answers",
            "guidelines": [{"condition": "greeted", "action": "greet"}, "Be kind"],
            "tools": ["search"],
            "model": "small",
            "temperature": 0.7,
            "workspace_id": "w",
            "user_id": "ada",
            "created_at": created_at,
            "updated_at": updated_at,
            "status": "active",
        })
    );
    assert_eq!(created.id.get_version_num(), 7);
}

#[tokio::test]
async fn what_is_left_out_is_null_or_empty() {
    let house = house().await;
    let agent = house.agent("w", "Plain").await;
    let json = serde_json::to_value(&agent).unwrap();
    for field in ["description", "model", "temperature"] {
        assert_eq!(json[field], Value::Null, "{field}");
    }
    assert_eq!(json["guidelines"], json!([]));
    assert_eq!(json["tools"], json!([]));
}

#[tokio::test]
async fn a_name_is_taken_until_its_agent_is_archived() {
    let house = house().await;
    let (ada, elsewhere) = (admin("ada", "w"), admin("bob", "v"));
    let conversations = &house.conversations;
    let first = house.agent("w", "Help").await;
    let other = house.agent("w", "Other").await;

    let again = conversations.create_agent(&ada, new_agent("w", " Help ")).await;
    assert!(matches!(again, Err(Error::AgentNameTaken)), "{again:?}");
    let renamed = AgentPatch { name: Change::Set("Help".to_owned()), ..AgentPatch::default() };
    let renamed = conversations.update_agent(&ada, other.id, renamed, None).await;
    assert!(matches!(renamed, Err(Error::AgentNameTaken)), "{renamed:?}");
    conversations.create_agent(&elsewhere, new_agent("v", "Help")).await.unwrap();

    conversations.archive_agent(&ada, first.id).await.unwrap();
    conversations.create_agent(&ada, new_agent("w", "Help")).await.unwrap();
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_clears() {
    let house = house().await;
    let ada = writer("ada", "w");
    let conversations = &house.conversations;
    let agent = conversations.create_agent(&ada, full("Help")).await.unwrap();

    let patch =
        AgentPatch { name: Change::Set("  Desk ".to_owned()), temperature: Change::Set(1.5), ..AgentPatch::default() };
    let changed = conversations.update_agent(&ada, agent.id, patch, Some(1)).await.unwrap();
    assert_eq!(changed.version, 2);
    assert_eq!((&*changed.name, changed.temperature), ("Desk", Some(1.5)));
    assert_eq!(changed.description.as_deref(), Some("Answers"));
    assert_eq!(changed.guidelines.as_str(), agent.guidelines.as_str());
    assert!(changed.updated_at > agent.updated_at);
    assert_eq!(changed.created_at, agent.created_at);

    let patch = AgentPatch {
        description: Change::Clear,
        guidelines: Change::Clear,
        tools: Change::Set(vec![json!({"name": "calendar"})]),
        model: Change::Clear,
        temperature: Change::Clear,
        ..AgentPatch::default()
    };
    let cleared = conversations.update_agent(&ada, agent.id, patch, None).await.unwrap();
    let json = serde_json::to_value(&cleared).unwrap();
    for field in ["description", "model", "temperature"] {
        assert_eq!(json[field], Value::Null, "{field}");
    }
    assert_eq!(json["guidelines"], json!([]));
    assert_eq!(json["tools"], json!([{"name": "calendar"}]));
    assert_eq!(json["name"], "Desk");

    let patch = AgentPatch { name: Change::Clear, ..AgentPatch::default() };
    let refused = conversations.update_agent(&ada, agent.id, patch, None).await;
    assert_eq!(invalid(refused), ["name"]);
}

#[test]
fn an_absent_field_is_kept_and_null_clears_it() {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(default)]
        model: Change<String>,
    }
    let change = |body: &str| serde_json::from_str::<Body>(body).unwrap().model;
    assert_eq!(change("{}"), Change::Keep);
    assert_eq!(change(r#"{"model": null}"#), Change::Clear);
    assert_eq!(change(r#"{"model": "m"}"#), Change::Set("m".to_owned()));
}

#[tokio::test]
async fn of_many_changes_of_one_version_one_wins() {
    let house = house().await;
    let ada = writer("ada", "w");
    let agent = house.agent("w", "Help").await;
    let update = async |number: usize| {
        let patch = AgentPatch { description: Change::Set(number.to_string()), ..AgentPatch::default() };
        let conversations = &house.conversations;
        conversations.update_agent(&ada, agent.id, patch, Some(agent.version)).await
    };
    let results = join_all((0..10).map(update)).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for result in lost {
        let conflict = matches!(result, Err(Error::VersionConflict { current: 2 }));
        assert!(conflict, "{result:?}");
    }
}

#[tokio::test]
async fn an_agent_is_archived_by_its_creator_or_an_admin_and_its_sessions_end() {
    let house = house().await;
    let conversations = &house.conversations;
    let (ada, bob) = (writer("ada", "w"), writer("bob", "w"));
    let denied = |result: Result<(), Error>, needed: Permission| {
        let denied = matches!(&result, Err(Error::PermissionDenied { workspace_id, required })
            if workspace_id == "w" && *required == needed);
        assert!(denied, "{result:?}");
    };

    let agent = conversations.create_agent(&ada, new_agent("w", "Help")).await.unwrap();
    let session = house.session(&bob, &agent).await;
    denied(conversations.archive_agent(&bob, agent.id).await, Permission::Admin);
    let now_a_reader = reader("ada", "w");
    denied(conversations.archive_agent(&now_a_reader, agent.id).await, Permission::Write);
    conversations.archive_agent(&ada, agent.id).await.unwrap();

    let status = conversations.session(&bob, session.id).await.unwrap().status;
    assert_eq!(serde_json::to_value(status).unwrap(), "ended");
    let gone = conversations.agent(&ada, agent.id).await;
    assert!(matches!(gone, Err(Error::AgentNotFound)), "{gone:?}");
    let again = conversations.archive_agent(&ada, agent.id).await;
    assert!(matches!(again, Err(Error::AgentNotFound)), "{again:?}");
    let patch = conversations.update_agent(&ada, agent.id, AgentPatch::default(), None).await;
    assert!(matches!(patch, Err(Error::AgentNotFound)), "{patch:?}");
    let start = conversations.start_session(&bob, new_session(&agent)).await;
    assert!(matches!(start, Err(Error::AgentNotFound)), "{start:?}");

    let agent = conversations.create_agent(&ada, new_agent("w", "Help")).await.unwrap();
    conversations.archive_agent(&admin("eve", "w"), agent.id).await.unwrap();
}

#[tokio::test]
async fn a_list_is_paged_newest_first_and_stays_put_while_agents_come_and_go() {
    let house = house().await;
    let conversations = &house.conversations;
    let ada = admin("ada", "w");
    let mut agents: Vec<Agent> = Vec::new();
    for number in 0..7 {
        agents.push(house.agent("w", &format!("a{number}")).await);
    }
    let list = |cursor| ListAgents { workspace_id: Some("w"), cursor, limit: 3 };
    let first = conversations.list_agents(&ada, list(None)).await.unwrap();
    let seen: Vec<_> = first.items.iter().map(|agent| &*agent.name).collect();
    assert_eq!(seen, ["a6", "a5", "a4"]);

    house.agent("w", "late").await;
    conversations.archive_agent(&ada, agents[4].id).await.unwrap();
    let second = conversations.list_agents(&ada, list(first.next)).await.unwrap();
    let seen: Vec<_> = second.items.iter().map(|agent| &*agent.name).collect();
    assert_eq!(seen, ["a3", "a2", "a1"]);
    let third = conversations.list_agents(&ada, list(second.next)).await.unwrap();
    let seen: Vec<_> = third.items.iter().map(|agent| &*agent.name).collect();
    assert_eq!(seen, ["a0"]);
    assert_eq!(third.next, None);
}

#[tokio::test]
async fn a_full_last_page_has_no_next_one() {
    let house = house().await;
    for name in ["a", "b"] {
        house.agent("w", name).await;
    }
    let list = ListAgents { limit: 2, ..AGENTS };
    let ada = reader("ada", "w");
    let page = house.conversations.list_agents(&ada, list).await.unwrap();
    assert_eq!((page.items.len(), page.next), (2, None));
}

#[tokio::test]
async fn a_list_of_all_workspaces_merges_them_newest_first() {
    let house = house().await;
    for (workspace, name) in [("a", "1"), ("b", "2"), ("hidden", "x"), ("a", "3"), ("c", "4"), ("b", "5")] {
        house.agent(workspace, name).await;
    }
    let ada = Actor::new("ada", ["a", "b", "c", "empty"].map(|id| (id, Permission::Read)));
    assert_eq!(names(&house, &ada, AGENTS).await, ["5", "4", "3", "2", "1"]);
    let in_b = ListAgents { workspace_id: Some("b"), ..AGENTS };
    assert_eq!(names(&house, &ada, in_b).await, ["5", "2"]);

    let mut list = ListAgents { limit: 2, ..AGENTS };
    let mut seen = Vec::new();
    loop {
        let page = house.conversations.list_agents(&ada, list).await.unwrap();
        seen.extend(page.items.into_iter().map(|agent| agent.name));
        let Some(next) = page.next else { break };
        // As it travels through a client.
        list.cursor = Some(next.to_string().parse().unwrap());
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1"]);
}

#[tokio::test]
async fn somebody_without_workspaces_sees_nothing() {
    let house = house().await;
    house.agent("w", "Help").await;
    let nobody = Actor::new("ada", []);
    assert!(names(&house, &nobody, AGENTS).await.is_empty());
}

#[test]
fn a_cursor_has_one_spelling() {
    let id = Uuid::now_v7();
    let cursor = format!("{:016x}{}", 1_700_000_000_000_000_u64, id.simple());
    assert_eq!(cursor.parse::<Cursor>().unwrap().to_string(), cursor);
    let others = [
        String::new(),
        "x".to_owned(),
        "\u{1F980}".repeat(12),
        cursor[1..].to_owned(),
        cursor.to_uppercase(),
        format!("+{}", &cursor[1..]),
        format!("{}{id}", &cursor[..16]),
        format!("{}{}", "7".repeat(16), id.simple()),
    ];
    for text in others {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn the_limit_of_a_workspace_is_exact_however_many_try_at_once() {
    let limits = Limits { agents_per_workspace: 5, ..Limits::default() };
    let house = house_with(limits).await;
    let ada = writer("ada", "w");
    let create = async |number: usize| {
        let new = new_agent("w", &number.to_string());
        house.conversations.create_agent(&ada, new).await
    };
    let results = join_all((0..20).map(create)).await;
    let (created, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(created.len(), 5);
    for result in refused {
        let limit = matches!(&result, Err(error @ Error::AgentLimit { max: 5 }) if error.class() == Class::Limit);
        assert!(limit, "{result:?}");
    }
    assert_eq!(house.count("select count(*) from parlant_agent").await, 5);

    // Another workspace has its own, and an archived agent makes room.
    house.agent("v", "Help").await;
    let agent = created[0].as_ref().unwrap();
    house.conversations.archive_agent(&ada, agent.id).await.unwrap();
    create(100).await.unwrap();
}

#[tokio::test]
async fn a_reader_cannot_create_or_change() {
    let house = house().await;
    let agent = house.agent("w", "Help").await;
    let bob = reader("bob", "w");
    let conversations = &house.conversations;
    let created = conversations.create_agent(&bob, new_agent("w", "Mine")).await;
    let changed = conversations.update_agent(&bob, agent.id, AgentPatch::default(), None).await;
    for result in [created, changed] {
        let denied = matches!(&result, Err(Error::PermissionDenied { required: Permission::Write, .. }));
        assert!(denied, "{result:?}");
    }
    assert_eq!(conversations.agent(&bob, agent.id).await.unwrap().version, 1);
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_stored() {
    let house = house().await;
    let ada = writer("ada", "w");
    let wrong = NewAgent {
        workspace_id: "w".to_owned(),
        name: " ".to_owned(),
        description: Some("d".repeat(check::MAX_DESCRIPTION + 1)),
        guidelines: vec![json!({"action": "a\0b"})],
        tools: vec![json!(null)],
        model: Some(String::new()),
        temperature: Some(2.5),
    };
    let result = house.conversations.create_agent(&ada, wrong.clone()).await;
    let fields = ["name", "description", "guidelines", "tools", "model", "temperature"];
    assert_eq!(invalid(result), fields);

    let agent = house.agent("w", "Help").await;
    let patch = AgentPatch {
        name: Change::Set(wrong.name),
        description: Change::Set("\0".to_owned()),
        guidelines: Change::Set(wrong.guidelines),
        tools: Change::Set(wrong.tools),
        model: Change::Set("m\0".to_owned()),
        temperature: Change::Set(f64::NAN),
    };
    let result = house.conversations.update_agent(&ada, agent.id, patch, None).await;
    assert_eq!(invalid(result), fields);
    for limit in [0, 101] {
        let list = ListAgents { limit, ..AGENTS };
        assert_eq!(invalid(house.conversations.list_agents(&ada, list).await), ["limit"]);
    }
    assert_eq!(house.count("select count(*) from parlant_agent").await, 1);
}

#[tokio::test]
async fn text_and_numbers_come_back_as_they_were() {
    let house = house().await;
    let ada = writer("ada", "w");
    let tools = vec![json!({"\\u0000": "\\u0000", "big": u64::MAX, "small": -1.5e-7, "text": "\u{1F980} \"\n\u{7f}"})];
    let new = NewAgent {
        name: "\u{1F980} Ünï".to_owned(),
        description: Some(String::new()),
        tools: tools.clone(),
        temperature: Some(0.1),
        ..new_agent("w", "")
    };
    let agent = house.conversations.create_agent(&ada, new).await.unwrap();
    assert_eq!(agent.name, "\u{1F980} Ünï");
    assert_eq!(agent.description.as_deref(), Some(""));
    assert_eq!(agent.tools.to_value(), Value::Array(tools));
    assert_eq!(agent.temperature, Some(0.1));
}
