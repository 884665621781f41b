use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something that happened in a session. It says where, never what was said: whoever wants a message reads the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The session's workspace.
    pub workspace_id: String,
    /// The session's owner.
    pub user_id: String,
    /// The session.
    pub session_id: Uuid,
    /// The session's agent.
    pub agent_id: Uuid,
    /// What happened.
    pub what: What,
}

/// What happened in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A message was stored.
    Message {
        /// Its place in the session.
        offset: i32,
    },
    /// The agent's turn went on. This is stored nowhere: whoever does not listen will not know.
    Status(TurnStatus),
    /// It was started.
    SessionStarted,
    /// It has ended.
    SessionEnded,
}

/// How far the agent is with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TurnStatus {
    /// The engine has the message.
    Acknowledged,
    /// The agent thinks.
    Processing,
    /// The agent writes.
    Typing,
    /// The agent has nothing more to say.
    Ready,
    /// There will be no answer.
    Failed,
}
