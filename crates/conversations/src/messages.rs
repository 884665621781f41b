//! Messages: what is said in a session, numbered from 0 without a gap.

use std::fmt;

use chrono::{DateTime, Utc};
use parlant_auth_bridge::Permission;
use parlant_db_pool::{Row, ToSql};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::check::{Check, MAX_CONTENT, MAX_METADATA_BYTES};
use crate::conversations::read;
use crate::json::Jsonb;
use crate::sql::messages as sql;
use crate::{Actor, Conversations, Error, Json, Notice, What};

/// A message of a session. Serializes as clients see it; `Debug` leaves out what was said, which does not belong in
/// logs.
#[derive(Clone, Serialize)]
pub struct Message {
    /// Grows with time (`UUIDv7`).
    pub id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// Its place in the session, from 0.
    pub offset: i32,
    /// What was said.
    pub content: String,
    /// Who speaks.
    pub message_type: MessageType,
    /// When it was stored. Within a session it grows with the offset.
    pub timestamp: DateTime<Utc>,
    /// What the client attached to it: an object.
    pub metadata: Json,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("session_id", &self.session_id)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    /// The session's owner.
    #[default]
    User,
    /// The program around the conversation: a note that is not part of what was said.
    System,
    /// The agent. Such messages come from the engine alone; clients cannot post them.
    Agent,
}

impl MessageType {
    /// The name that clients and the database use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
            Self::Agent => "agent",
        }
    }
}

/// What a message is made from.
#[derive(Clone)]
pub struct NewMessage {
    /// 1 to 32,000 characters, kept as they are.
    pub content: String,
    /// [`MessageType::User`] or [`MessageType::System`].
    pub message_type: MessageType,
    /// An object; an empty one when none is given.
    pub metadata: Option<Value>,
    /// Makes a retry safe: the message is stored once for each key of a session, for ever.
    pub idempotency_key: Option<String>,
}

impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewMessage").field("message_type", &self.message_type).finish_non_exhaustive()
    }
}

/// Which messages to list.
#[derive(Debug, Clone, Copy)]
pub struct ListMessages {
    /// The offset of the first message: one more than that of the last one that was seen, or 0.
    pub offset: u32,
    /// Most messages, from 1 to [`MAX_PAGE`](crate::MAX_PAGE).
    pub limit: u32,
}

/// A stretch of a session. Serializes as clients see it.
#[derive(Debug, Clone, Serialize)]
pub struct Messages {
    /// The messages by offset.
    pub messages: Vec<Message>,
    /// How many messages the session has.
    pub total: i32,
    /// Whether the session has ended, so that there will be no more.
    #[serde(skip)]
    pub ended: bool,
    /// The offset that was asked for.
    pub offset: u32,
    /// The limit that was asked for.
    pub limit: u32,
}

impl Conversations {
    /// Adds a message to an active session of the caller.
    ///
    /// The same request with the same idempotency key returns the message that the first one stored, also after the
    /// session has ended.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::SessionNotFound`], [`Error::SessionEnded`], [`Error::IdempotencyMismatch`].
    pub async fn post_message(&self, actor: &Actor<'_>, session_id: Uuid, new: NewMessage) -> Result<Message, Error> {
        let empty = Value::Object(serde_json::Map::new());
        let mut check = Check::default();
        check.text("content", &new.content, 1, MAX_CONTENT);
        if new.message_type == MessageType::Agent {
            check.problem("message_type", "must be user or system");
        }
        let metadata = new.metadata.as_ref().unwrap_or(&empty);
        let metadata = check.object("metadata", metadata, MAX_METADATA_BYTES);
        if let Some(key) = &new.idempotency_key {
            check.idempotency_key(key);
        }
        check.finish()?;

        let workspace_ids = actor.holding(Permission::Read);
        let (id, user_id) = (Uuid::now_v7(), actor.user_id());
        let outbox = self.outbox.as_ref().filter(|_| new.message_type == MessageType::User);
        let turns = i32::from(outbox.is_some());
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &session_id,
            &workspace_ids,
            &user_id,
            &id,
            &new.content,
            &new.message_type.as_str(),
            &metadata,
            &new.idempotency_key,
            &turns,
        ];
        let post = || self.pool.query_opt(&sql::POST_MESSAGE, &parameters);
        let row = match post().await {
            // A request with the same key was under way at the same time. It has committed: now it can be seen.
            Err(error) if error.constraint() == Some("parlant_event_idempotency_key") => post().await,
            result => result,
        }?;
        let Some(row) = row else {
            let exists = self.pool.query_opt(&sql::SESSION_EXISTS, &parameters[..3]).await?;
            return Err(exists.map_or(Error::SessionNotFound, |_| Error::SessionEnded));
        };
        let (same, workspace_id, agent_id): (bool, Option<String>, Option<Uuid>) =
            read("parlant_event", &row, |row| Ok((row.try_get(7)?, row.try_get(8)?, row.try_get(9)?)))?;
        if !same {
            return Err(Error::IdempotencyMismatch);
        }
        let message = message(&row)?;
        // It is new.
        if let (Some(workspace_id), Some(agent_id)) = (workspace_id, agent_id) {
            let what = What::Message { offset: message.offset };
            self.live.announce(Notice { workspace_id, user_id: user_id.to_owned(), session_id, agent_id, what });
            if let Some(outbox) = outbox {
                outbox.notify_one();
            }
        }
        Ok(message)
    }

    /// Messages of a session of the caller, or of a workspace that the caller administers. The cost depends on the
    /// page alone.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::SessionNotFound`].
    pub async fn list_messages(
        &self,
        actor: &Actor<'_>,
        session_id: Uuid,
        list: ListMessages,
    ) -> Result<Messages, Error> {
        let mut check = Check::default();
        check.limit(list.limit);
        check.finish()?;
        let (everybody, own) = (actor.holding(Permission::Admin), actor.below_admin());
        let first = i64::from(list.offset);
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&session_id, &everybody, &actor.user_id(), &own, &first, &(first + i64::from(list.limit))];
        let rows = self.pool.query(&sql::LIST_MESSAGES, &parameters).await?;
        let session = rows.first().ok_or(Error::SessionNotFound)?;
        let (total, ended, any): (i32, bool, Option<Uuid>) =
            read("parlant_session", session, |row| Ok((row.try_get(7)?, row.try_get(8)?, row.try_get(0)?)))?;
        let messages = if any.is_some() { &rows[..] } else { &[] };
        Ok(Messages {
            messages: messages.iter().map(message).collect::<Result<_, _>>()?,
            total,
            ended,
            offset: list.offset,
            limit: list.limit,
        })
    }
}

fn message(row: &Row) -> Result<Message, Error> {
    read("parlant_event", row, |row| {
        Ok(Message {
            id: row.try_get(0)?,
            session_id: row.try_get(1)?,
            offset: row.try_get(2)?,
            content: row.try_get(3)?,
            message_type: match row.try_get(4)? {
                "user" => MessageType::User,
                "system" => MessageType::System,
                "agent" => MessageType::Agent,
                _ => return Err("unknown message type".into()),
            },
            timestamp: row.try_get(5)?,
            metadata: row.try_get::<_, Jsonb>(6)?.into(),
        })
    })
}
