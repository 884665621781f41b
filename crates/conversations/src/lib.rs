//! Agents, sessions and messages of Sim's workspaces, durable in PostgreSQL.
//!
//! [`Conversations`] is the whole of it. Every operation takes an [`Actor`]: the user who asks and the workspaces that
//! are open to that user, with a permission in each. The rules of who may do what are kept here, in the statements
//! themselves, whatever the caller has checked before: what belongs to another workspace does not exist.
//!
//! ```no_run
//! use parlant_conversations::{
//!     Actor, Conversations, Error, Limits, ListMessages, MessageType, NewAgent, NewMessage, NewSession,
//! };
//! # async fn example(pool: parlant_db_pool::Pool, identity: parlant_auth_bridge::Identity) -> Result<(), Error> {
//! let conversations = Conversations::new(pool, Limits::default());
//! let actor = Actor::from(&identity);
//!
//! let agent = NewAgent {
//!     workspace_id: "workspace-1".into(),
//!     name: "Help desk".into(),
//!     description: None,
//!     guidelines: vec!["Answer in the language of the question.".into()],
//!     tools: Vec::new(),
//!     model: None,
//!     temperature: Some(0.2),
//! };
//! let agent = conversations.create_agent(&actor, agent).await?;
//!
//! let session = NewSession { agent_id: agent.id, workspace_id: agent.workspace_id, context: None };
//! let session = conversations.start_session(&actor, session).await?;
//!
//! let message = NewMessage {
//!     content: "Hello".into(),
//!     message_type: MessageType::User,
//!     metadata: None,
//!     idempotency_key: Some("6f1c".into()),
//! };
//! conversations.post_message(&actor, session.id, message).await?;
//!
//! let page = ListMessages { offset: 0, limit: 50 };
//! let page = conversations.list_messages(&actor, session.id, page).await?;
//! assert_eq!(page.total, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//! - Deleting archives: the database role has no `DELETE`.
//! - Lists are pages by id, newest first; ids grow with time (`UUIDv7`).
//! - Messages of a session are numbered from 0 without a gap, whoever writes at the same time.
//! - What a caller may not see is [not found](Class::NotFound); what it may see but not do is
//!   [denied](Class::Denied).
//!
//! # In the background
//! [`Conversations::with_engine`] makes a [`Delivery`], which lets an engine answer what users post. [`Reaper`] archives the agents of workspaces that vanished from Sim; [`UsageSampler`] counts sessions and agents
//! for the metrics.
//!
//! # To extend
//! A new operation is a method of [`Conversations`] in the file of its noun, with an [`Actor`]. Its statement goes
//! into `src/sql/`, names its columns, and has the workspace in its conditions even where an id alone would find the
//! row. The test `explain` fails until it has a case for it that shows which index it uses on large tables.

mod actor;
mod agents;
pub mod check;
mod config;
mod conversations;
mod delivery;
mod error;
mod json;
mod live;
mod messages;
pub mod metrics;
mod page;
mod reaper;
mod sessions;
mod sql;
mod usage;

pub use actor::Actor;
pub use agents::{Agent, AgentPatch, AgentStatus, Change, ListAgents, NewAgent};
pub use config::{
    DELIVERY_TIMEOUT, DeliveryConfig, Limits, MAX_AGENTS_PER_WORKSPACE, MAX_SESSIONS_PER_USER, MAX_TURNS, TURN_TIMEOUT,
    VARIABLES,
};
pub use conversations::Conversations;
pub use delivery::{Delivery, Reason};
pub use error::{Class, Error, FieldError, FieldErrors};
pub use json::Json;
pub use live::{Admission, Live, MAX_STREAMS_PER_USER, Notice, Signal, Subscription, TurnStatus, What};
pub use messages::{ListMessages, Message, MessageType, Messages, NewMessage};
pub use page::{Cursor, DEFAULT_PAGE, InvalidCursor, MAX_PAGE, Page};
pub use reaper::{Outcome, Reaper, ReaperError, Report, WorkspaceDirectory};
pub use sessions::{ListSessions, NewSession, Session, SessionStatus};
pub use usage::{Usage, UsageSampler};

/// Every statement, for the test that explains them.
#[doc(hidden)]
#[must_use]
pub fn statements() -> Vec<&'static parlant_db_pool::Query> {
    sql::all()
}
