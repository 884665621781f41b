//! What belongs to another workspace does not exist, for every operation; and the database agrees.

use parlant_auth_bridge::Permission;
use parlant_conversations::{
    Actor, AgentPatch, Change, Class, Conversations, Error, ListAgents, ListMessages, ListSessions, NewSession,
};
use parlant_db_pool::SqlState;
use uuid::Uuid;

use crate::house::{AGENTS, SESSIONS, admin, house, new_agent, says};

const MESSAGES: ListMessages = ListMessages { offset: 0, limit: 100 };

/// What an operation gave away: the error's class, or how many things were seen.
type Seen = Result<usize, Class>;

/// Every operation on the agent and the session, by an actor who should not know of them.
async fn attempts(
    conversations: &Conversations,
    actor: &Actor<'_>,
    workspace: &str,
    agent: Uuid,
    session: Uuid,
) -> Vec<(&'static str, Seen)> {
    fn one<T>(result: Result<T, Error>) -> Seen {
        result.map(|_| 1).map_err(|error| error.class())
    }
    let patch = || AgentPatch { name: Change::Set("Taken over".to_owned()), ..AgentPatch::default() };
    let start = |workspace: &str| NewSession { agent_id: agent, workspace_id: workspace.to_owned(), context: None };
    let agents_there = ListAgents { workspace_id: Some(workspace), ..AGENTS };
    let sessions_there = ListSessions { workspace_id: Some(workspace), ..SESSIONS };
    let sessions_of_agent = ListSessions { agent_id: Some(agent), ..SESSIONS };
    let c = conversations;
    let mut seen = vec![
        ("create_agent", one(c.create_agent(actor, new_agent(workspace, "Mine")).await)),
        ("list_agents there", one(c.list_agents(actor, agents_there).await)),
        ("list_sessions there", one(c.list_sessions(actor, sessions_there).await)),
        ("start_session there", one(c.start_session(actor, start(workspace)).await)),
        ("agent", one(c.agent(actor, agent).await)),
        ("update_agent", one(c.update_agent(actor, agent, patch(), None).await)),
        ("update_agent if match", one(c.update_agent(actor, agent, patch(), Some(1)).await)),
        ("archive_agent", one(c.archive_agent(actor, agent).await)),
        ("start_session elsewhere", one(c.start_session(actor, start("own")).await)),
        ("session", one(c.session(actor, session).await)),
        ("end_session", one(c.end_session(actor, session).await)),
        ("post_message", one(c.post_message(actor, session, says("Hi")).await)),
        ("list_messages", one(c.list_messages(actor, session, MESSAGES).await)),
    ];
    let agents = c.list_agents(actor, AGENTS).await.map(|page| page.items.len());
    let sessions = c.list_sessions(actor, SESSIONS).await.map(|page| page.items.len());
    let of_agent = c.list_sessions(actor, sessions_of_agent).await.map(|page| page.items.len());
    for (name, result) in [("list_agents", agents), ("list_sessions", sessions), ("list_sessions of agent", of_agent)] {
        seen.push((name, result.map_err(|error| error.class())));
    }
    seen
}

#[tokio::test]
async fn every_operation_on_another_workspace_finds_nothing_and_changes_nothing() {
    let house = house().await;
    let agent = house.agent("theirs", "Help").await;
    let owner = admin("owner", "theirs");
    let session = house.session(&owner, &agent).await;
    house.post(&owner, session.id, "Secret").await;
    let everything = "select count(*) from (
            select version::text, name, status from parlant_agent
            union all select message_count::text, user_id, status from parlant_session
            union all select \"offset\"::text, content, message_type from parlant_event
        ) as everything
        where (version, name, status) in
            (('1', 'Help', 'active'), ('1', 'owner', 'active'), ('0', 'Secret', 'user'))";

    let strangers = [
        // Everything elsewhere, nothing there.
        admin("stranger", "own"),
        // Whose session it is, and who has been removed from the workspace.
        admin("owner", "own"),
        // A workspace id that only looks like it.
        Actor::new("owner", ["own", "Theirs", "theirs ", "their_", "%", ""].map(|id| (id, Permission::Admin))),
    ];
    for actor in &strangers {
        let seen = attempts(&house.conversations, actor, "theirs", agent.id, session.id).await;
        for (operation, seen) in seen {
            let expected = match operation {
                "list_agents" | "list_sessions" | "list_sessions of agent" => Ok(0),
                "create_agent" | "list_agents there" | "list_sessions there" | "start_session there" => {
                    Err(Class::Denied)
                }
                _ => Err(Class::NotFound),
            };
            assert_eq!(seen, expected, "{operation} by {actor:?}");
        }
        assert_eq!(house.count(everything).await, 3);
    }
    // The check sees changes, had there been any.
    house.post(&owner, session.id, "More").await;
    assert_eq!(house.count(everything).await, 2);
}

#[tokio::test]
async fn a_denial_does_not_tell_whether_the_workspace_exists() {
    let house = house().await;
    house.agent("theirs", "Help").await;
    let actor = admin("stranger", "own");
    let mut texts = Vec::new();
    for workspace in ["theirs", "nowhere"] {
        let list = ListAgents { workspace_id: Some(workspace), ..AGENTS };
        let error = house.conversations.list_agents(&actor, list).await.unwrap_err();
        texts.push(error.to_string());
    }
    assert_eq!(texts[0], texts[1]);
}

#[tokio::test]
async fn of_two_permissions_for_one_workspace_the_higher_counts_once() {
    let house = house().await;
    house.agent("w", "Help").await;
    for grants in [[Permission::Admin, Permission::Read], [Permission::Read, Permission::Admin]] {
        let actor = Actor::new("ada", grants.map(|held| ("w", held)));
        assert_eq!(actor.permission("w"), Some(Permission::Admin));
        let page = house.conversations.list_agents(&actor, AGENTS).await.unwrap();
        assert_eq!(page.items.len(), 1);
    }
}

#[tokio::test]
async fn the_database_refuses_children_in_another_workspace_and_deletes_nothing() {
    let house = house().await;
    let agent = house.agent("w", "Help").await;
    let ada = admin("ada", "w");
    let session = house.session(&ada, &agent).await;
    house.post(&ada, session.id, "Hello").await;
    let app = house.database.url().parse::<tokio_postgres::Config>().unwrap();
    let (app, connection) = app.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);

    let refused = async |sql: &str| {
        let error = app.batch_execute(sql).await.unwrap_err();
        error.code().cloned().unwrap()
    };
    let (agent, session) = (agent.id, session.id);
    let foreign_session = format!(
        "insert into parlant_session (id, workspace_id, agent_id, user_id, context)
        values (gen_random_uuid(), 'v', '{agent}', 'ada', '{{}}')"
    );
    let foreign_event = format!(
        "insert into parlant_event (session_id, \"offset\", id, workspace_id, message_type, content, metadata)
        values ('{session}', 1, gen_random_uuid(), 'v', 'user', 'Hi', '{{}}')"
    );
    let foreign_turn = format!(
        "insert into parlant_outbox (session_id, \"offset\", workspace_id, due_at) values ('{session}', 0, 'v', now())"
    );
    let foreign_twin =
        format!("insert into parlant_engine_session (session_id, workspace_id) values ('{session}', 'v')");
    let moved = format!("update parlant_agent set workspace_id = 'v' where id = '{agent}'");
    for sql in [&foreign_session, &foreign_event, &foreign_turn, &foreign_twin, &moved] {
        assert_eq!(refused(sql).await, SqlState::FOREIGN_KEY_VIOLATION, "{sql}");
    }
    for table in ["parlant_agent", "parlant_session", "parlant_event", "parlant_outbox", "parlant_engine_session"] {
        let code = refused(&format!("delete from {table}")).await;
        assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE, "{table}");
        let code = refused(&format!("truncate {table} cascade")).await;
        assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE, "{table}");
    }
}
