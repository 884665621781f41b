//! A database with the domain on top of it, and short ways to do ordinary things.

use parlant_auth_bridge::Permission;
use parlant_conversations::{
    Actor, Agent, Conversations, Error, Limits, ListAgents, ListSessions, Message, MessageType, NewAgent, NewMessage,
    NewSession, Session,
};
use parlant_db_pool::{Config, Pool};
use parlant_test_support::TestDatabase;
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) struct House {
    pub(crate) database: TestDatabase,
    pub(crate) pool: Pool,
    pub(crate) conversations: Conversations,
}

pub(crate) fn config(url: String) -> Config {
    let mut config = Config::new(url);
    config.pool_size = 2;
    config.max_overflow = 10;
    config
}

pub(crate) async fn house() -> House {
    house_with(Limits::default()).await
}

pub(crate) async fn house_with(limits: Limits) -> House {
    let database = parlant_test_support::database().await;
    let pool = Pool::new(&config(database.url())).unwrap();
    let conversations = Conversations::new(pool.clone(), limits);
    House { database, pool, conversations }
}

pub(crate) fn admin<'a>(user_id: &'a str, workspace_id: &'a str) -> Actor<'a> {
    Actor::new(user_id, [(workspace_id, Permission::Admin)])
}

pub(crate) fn writer<'a>(user_id: &'a str, workspace_id: &'a str) -> Actor<'a> {
    Actor::new(user_id, [(workspace_id, Permission::Write)])
}

pub(crate) fn reader<'a>(user_id: &'a str, workspace_id: &'a str) -> Actor<'a> {
    Actor::new(user_id, [(workspace_id, Permission::Read)])
}

pub(crate) fn new_agent(workspace_id: &str, name: &str) -> NewAgent {
    NewAgent {
        workspace_id: workspace_id.to_owned(),
        name: name.to_owned(),
        description: None,
        guidelines: Vec::new(),
        tools: Vec::new(),
        model: None,
        temperature: None,
    }
}

pub(crate) fn new_session(agent: &Agent) -> NewSession {
    NewSession { agent_id: agent.id, workspace_id: agent.workspace_id.clone(), context: None }
}

pub(crate) fn says(content: &str) -> NewMessage {
    NewMessage { content: content.to_owned(), message_type: MessageType::User, metadata: None, idempotency_key: None }
}

pub(crate) const AGENTS: ListAgents<'static> = ListAgents { workspace_id: None, cursor: None, limit: 100 };

pub(crate) const SESSIONS: ListSessions<'static> =
    ListSessions { workspace_id: None, agent_id: None, status: None, cursor: None, limit: 100 };

/// The fields that an operation complains about.
pub(crate) fn invalid<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<&'static str> {
    match result {
        Err(Error::Invalid(errors)) => errors.0.iter().map(|error| error.field).collect(),
        other => panic!("expected invalid fields, got {other:?}"),
    }
}

impl House {
    /// An agent of `workspace_id` by somebody who administers it.
    pub(crate) async fn agent(&self, workspace_id: &str, name: &str) -> Agent {
        let actor = admin("founder", workspace_id);
        let new = new_agent(workspace_id, name);
        self.conversations.create_agent(&actor, new).await.unwrap()
    }

    pub(crate) async fn session(&self, actor: &Actor<'_>, agent: &Agent) -> Session {
        let new = new_session(agent);
        self.conversations.start_session(actor, new).await.unwrap()
    }

    pub(crate) async fn post(&self, actor: &Actor<'_>, session: Uuid, content: &str) -> Message {
        let new = says(content);
        self.conversations.post_message(actor, session, new).await.unwrap()
    }

    /// One number, asked for by the superuser.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let client: Client = self.database.superuser().await;
        client.query_one(sql, &[]).await.unwrap().get(0)
    }
}
