//! Sessions: one user's conversations with agents.

use chrono::{DateTime, Utc};
use parlant_auth_bridge::Permission;
use parlant_db_pool::{Row, ToSql, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::check::{Check, MAX_CONTEXT_BYTES};
use crate::conversations::{lock, read};
use crate::json::Jsonb;
use crate::sql::sessions as sql;
use crate::{Actor, Conversations, Cursor, Error, Json, Notice, Page, What};

/// A conversation. Serializes as clients see it.
#[derive(Debug, Clone, Serialize)]
pub struct Session {
    /// Grows with time (`UUIDv7`).
    #[serde(rename = "session_id")]
    pub id: Uuid,
    /// The agent.
    pub agent_id: Uuid,
    /// The agent's workspace.
    pub workspace_id: String,
    /// Whose conversation it is.
    pub user_id: String,
    /// Whether it takes messages.
    pub status: SessionStatus,
    /// When it was started.
    pub created_at: DateTime<Utc>,
    /// What the client attached to it: an object.
    pub context: Json,
}

/// Whether a session takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// It does.
    Active,
    /// It is over, for ever.
    Ended,
}

/// What a session is made from.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// An active agent of that workspace.
    pub agent_id: Uuid,
    /// A workspace that the caller may read.
    pub workspace_id: String,
    /// An object; an empty one when none is given.
    pub context: Option<Value>,
}

/// Which sessions to list.
#[derive(Debug, Clone, Copy)]
pub struct ListSessions<'a> {
    /// One workspace; all of the caller's when none.
    pub workspace_id: Option<&'a str>,
    /// One agent; all when none. An agent that the caller cannot see has no sessions.
    pub agent_id: Option<Uuid>,
    /// Active or ended ones; both when none.
    pub status: Option<SessionStatus>,
    /// Where the list goes on.
    pub cursor: Option<Cursor>,
    /// Most sessions of the page, from 1 to [`MAX_PAGE`](crate::MAX_PAGE).
    pub limit: u32,
}

impl Conversations {
    /// Starts a session of the caller with an agent of a workspace that the caller may read.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PermissionDenied`], [`Error::AgentNotFound`] when the agent is in another
    /// workspace, [`Error::SessionLimit`].
    pub async fn start_session(&self, actor: &Actor<'_>, new: NewSession) -> Result<Session, Error> {
        actor.require(&new.workspace_id, Permission::Read)?;
        let empty = Value::Object(serde_json::Map::new());
        let mut check = Check::default();
        let context = new.context.as_ref().unwrap_or(&empty);
        let context = check.object("context", context, MAX_CONTEXT_BYTES);
        check.finish()?;

        let id = Uuid::now_v7();
        let max = self.limits.sessions_per_user;
        let user_id = actor.user_id();
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&id, &new.agent_id, &new.workspace_id, &user_id, &context, &i64::from(max)];
        let (user_id, parameters) = (&user_id, &parameters);
        let start = |transaction: Transaction| async move {
            transaction.query_one(&sql::LOCK_SESSION_LIMIT, &[&lock::SESSION_LIMIT, user_id]).await?;
            let row = transaction.query_one(&sql::START_SESSION, parameters).await?;
            Ok::<_, Error>(row)
        };
        let row = self.pool.transaction("start_session", start).await?;
        let (agent_exists, started): (bool, Option<Uuid>) =
            read("parlant_session", &row, |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
        match (agent_exists, started) {
            (false, _) => Err(Error::AgentNotFound),
            (true, None) => Err(Error::SessionLimit { max }),
            (true, Some(_)) => {
                let session = session(&row, 1)?;
                self.live.announce(session.notice(What::SessionStarted));
                Ok(session)
            }
        }
    }

    /// The caller's own sessions in the workspaces that it may read, and everybody's in those that it administers,
    /// newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::PermissionDenied`] for a workspace that is not among the caller's.
    pub async fn list_sessions(&self, actor: &Actor<'_>, list: ListSessions<'_>) -> Result<Page<Session>, Error> {
        let mut check = Check::default();
        check.limit(list.limit);
        check.finish()?;
        let scope = actor.within(list.workspace_id)?;
        let (everybody, own) = (scope.holding(Permission::Admin), scope.below_admin());
        let user_id = actor.user_id();
        let Cursor { created_at, id } = list.cursor.unwrap_or(Cursor::START);
        let surplus = i64::from(list.limit) + 1;
        let statuses: &[&str] = match list.status {
            Some(SessionStatus::Active) => &["active"],
            Some(SessionStatus::Ended) => &["ended"],
            None => &["active", "ended"],
        };
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&everybody, &own, &user_id, &created_at, &id, &surplus];
        parameters.extend(list.agent_id.as_ref().map(|id| id as &(dyn ToSql + Sync)));
        let query = match (list.agent_id, list.status) {
            (None, Some(SessionStatus::Active)) => &sql::LIST_ACTIVE_SESSIONS,
            (Some(_), Some(SessionStatus::Active)) => &sql::LIST_ACTIVE_AGENT_SESSIONS,
            (agent_id, _) => {
                parameters.push(&statuses);
                match agent_id {
                    None => &sql::LIST_SESSIONS,
                    Some(_) => &sql::LIST_AGENT_SESSIONS,
                }
            }
        };
        let rows = self.pool.query(query, &parameters).await?;
        let sessions = rows.iter().map(|row| session(row, 0));
        let sessions = sessions.collect::<Result<_, _>>()?;
        Ok(Page::from_surplus(sessions, list.limit, |session: &Session| Cursor {
            created_at: session.created_at,
            id: session.id,
        }))
    }

    /// A session of the caller, or of a workspace that the caller administers.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`].
    pub async fn session(&self, actor: &Actor<'_>, id: Uuid) -> Result<Session, Error> {
        let (everybody, own) = (actor.holding(Permission::Admin), actor.below_admin());
        let parameters: [&(dyn ToSql + Sync); 4] = [&id, &everybody, &actor.user_id(), &own];
        let row = self.pool.query_opt(&sql::GET_SESSION, &parameters).await?;
        session(&row.ok_or(Error::SessionNotFound)?, 0)
    }

    /// Ends a session of the caller, or of a workspace that the caller administers. Ending it again changes nothing.
    ///
    /// # Errors
    /// [`Error::SessionNotFound`].
    pub async fn end_session(&self, actor: &Actor<'_>, id: Uuid) -> Result<Session, Error> {
        let (everybody, own) = (actor.holding(Permission::Admin), actor.below_admin());
        let parameters: [&(dyn ToSql + Sync); 4] = [&id, &everybody, &actor.user_id(), &own];
        let row = self.pool.query_opt(&sql::END_SESSION, &parameters).await?.ok_or(Error::SessionNotFound)?;
        let session = session(&row, 0)?;
        if read("parlant_session", &row, |row| Ok(row.try_get(7)?))? {
            self.live.announce(session.notice(What::SessionEnded));
        }
        Ok(session)
    }
}

impl Session {
    fn notice(&self, what: What) -> Notice {
        Notice {
            workspace_id: self.workspace_id.clone(),
            user_id: self.user_id.clone(),
            session_id: self.id,
            agent_id: self.agent_id,
            what,
        }
    }
}

fn session(row: &Row, first: usize) -> Result<Session, Error> {
    read("parlant_session", row, |row| {
        Ok(Session {
            id: row.try_get(first)?,
            agent_id: row.try_get(first + 1)?,
            workspace_id: row.try_get(first + 2)?,
            user_id: row.try_get(first + 3)?,
            status: match row.try_get(first + 4)? {
                "active" => SessionStatus::Active,
                "ended" => SessionStatus::Ended,
                _ => return Err("unknown status".into()),
            },
            created_at: row.try_get(first + 5)?,
            context: row.try_get::<_, Jsonb>(first + 6)?.into(),
        })
    })
}
