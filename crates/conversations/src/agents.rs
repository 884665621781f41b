//! Agents: what a workspace's conversations are held with.

use chrono::{DateTime, Utc};
use parlant_auth_bridge::Permission;
use parlant_db_pool::{Row, ToSql, Transaction};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::check::{Check, MAX_DESCRIPTION, MAX_MODEL};
use crate::conversations::{lock, read};
use crate::json::Jsonb;
use crate::sql::agents as sql;
use crate::{Actor, Conversations, Cursor, Error, Json, Notice, Page, What};

/// An agent of a workspace. Serializes as clients see it.
#[derive(Debug, Clone, Serialize)]
pub struct Agent {
    /// Grows with time (`UUIDv7`).
    pub id: Uuid,
    /// Unique among the workspace's active agents.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// A list of objects or texts.
    pub guidelines: Json,
    /// A list of objects or texts.
    pub tools: Json,
    /// The language model's name.
    pub model: Option<String>,
    /// From 0 to 2.
    pub temperature: Option<f64>,
    /// The workspace that it belongs to, for ever.
    pub workspace_id: String,
    /// Who created it.
    pub user_id: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Active, or it could not be seen.
    pub status: AgentStatus,
    /// Grows with each change; the entity tag.
    #[serde(skip)]
    pub version: i32,
}

/// Whether an agent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentStatus {
    /// It can be talked to.
    Active,
    /// It was deleted: for clients it does not exist.
    Archived,
}

/// What an agent is made from.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Where it will be. The caller must be able to write there.
    pub workspace_id: String,
    /// 1 to 255 characters without the blanks around them; no control characters. Names are compared character by
    /// character: `Help` is not `help`.
    pub name: String,
    /// At most 4,000 characters.
    pub description: Option<String>,
    /// Objects or texts.
    pub guidelines: Vec<Value>,
    /// Objects or texts.
    pub tools: Vec<Value>,
    /// 1 to 255 characters.
    pub model: Option<String>,
    /// From 0 to 2.
    pub temperature: Option<f64>,
}

/// What a patch does to one field: an absent field is kept, `null` clears it, anything else replaces it.
///
/// For a field of a struct that is deserialized, with `#[serde(default)]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Leaves the field as it is.
    #[default]
    Keep,
    /// Leaves the field without a value.
    Clear,
    /// Gives the field this value.
    Set(T),
}

impl<T> Change<T> {
    /// Whether the field changes, and its new value.
    const fn parts(&self) -> (bool, Option<&T>) {
        match self {
            Self::Keep => (false, None),
            Self::Clear => (true, None),
            Self::Set(value) => (true, Some(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

/// What changes in an agent. The rules of [`NewAgent`] hold for each value.
#[derive(Debug, Clone, Default)]
pub struct AgentPatch {
    /// Cannot be cleared.
    pub name: Change<String>,
    /// The description.
    pub description: Change<String>,
    /// Cleared, it is an empty list.
    pub guidelines: Change<Vec<Value>>,
    /// Cleared, it is an empty list.
    pub tools: Change<Vec<Value>>,
    /// The model.
    pub model: Change<String>,
    /// The temperature.
    pub temperature: Change<f64>,
}

/// Which agents to list.
#[derive(Debug, Clone, Copy)]
pub struct ListAgents<'a> {
    /// One workspace; all of the caller's when none.
    pub workspace_id: Option<&'a str>,
    /// Where the list goes on.
    pub cursor: Option<Cursor>,
    /// Most agents of the page, from 1 to [`MAX_PAGE`](crate::MAX_PAGE).
    pub limit: u32,
}

impl Conversations {
    /// Creates an agent in a workspace where the caller may write.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::PermissionDenied`], [`Error::AgentLimit`], [`Error::AgentNameTaken`].
    pub async fn create_agent(&self, actor: &Actor<'_>, new: NewAgent) -> Result<Agent, Error> {
        actor.require(&new.workspace_id, Permission::Write)?;
        let mut check = Check::default();
        let name = check.name(&new.name);
        if let Some(description) = &new.description {
            check.text("description", description, 0, MAX_DESCRIPTION);
        }
        let guidelines = check.entries("guidelines", &new.guidelines);
        let tools = check.entries("tools", &new.tools);
        if let Some(model) = &new.model {
            check.text("model", model, 1, MAX_MODEL);
        }
        if let Some(temperature) = new.temperature {
            check.temperature(temperature);
        }
        check.finish()?;

        let id = Uuid::now_v7();
        let max = self.limits.agents_per_workspace;
        let parameters: [&(dyn ToSql + Sync); 10] = [
            &id,
            &new.workspace_id,
            &actor.user_id(),
            &name,
            &new.description,
            &guidelines,
            &tools,
            &new.model,
            &new.temperature,
            &i64::from(max),
        ];
        let (workspace_id, parameters) = (&new.workspace_id, &parameters);
        let create = |transaction: Transaction| async move {
            transaction.query_one(&sql::LOCK_AGENT_LIMIT, &[&lock::AGENT_LIMIT, workspace_id]).await?;
            let row = transaction.query_opt(&sql::CREATE_AGENT, parameters).await?;
            Ok(row)
        };
        let created = self.pool.transaction("create_agent", create).await;
        let row = created.map_err(name_taken)?;
        agent(&row.ok_or(Error::AgentLimit { max })?)
    }

    /// The active agents of a workspace, or of all of the caller's, newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::PermissionDenied`] for a workspace that is not among the caller's.
    pub async fn list_agents(&self, actor: &Actor<'_>, list: ListAgents<'_>) -> Result<Page<Agent>, Error> {
        let mut check = Check::default();
        check.limit(list.limit);
        check.finish()?;
        let Cursor { created_at, id } = list.cursor.unwrap_or(Cursor::START);
        let surplus = i64::from(list.limit) + 1;
        let rows = match actor.within(list.workspace_id)?.holding(Permission::Read)[..] {
            [] => return Ok(Page::EMPTY),
            [workspace_id] => {
                let parameters: [&(dyn ToSql + Sync); 4] = [&workspace_id, &created_at, &id, &surplus];
                self.pool.query(&sql::LIST_WORKSPACE_AGENTS, &parameters).await?
            }
            ref workspace_ids => {
                let parameters: [&(dyn ToSql + Sync); 4] = [&workspace_ids, &created_at, &id, &surplus];
                self.pool.query(&sql::LIST_AGENTS, &parameters).await?
            }
        };
        let agents = rows.iter().map(agent).collect::<Result<_, _>>()?;
        Ok(Page::from_surplus(agents, list.limit, |agent: &Agent| Cursor {
            created_at: agent.created_at,
            id: agent.id,
        }))
    }

    /// An active agent of one of the caller's workspaces.
    ///
    /// # Errors
    /// [`Error::AgentNotFound`].
    pub async fn agent(&self, actor: &Actor<'_>, id: Uuid) -> Result<Agent, Error> {
        let workspace_ids = actor.holding(Permission::Read);
        let row = self.pool.query_opt(&sql::GET_AGENT, &[&id, &workspace_ids]).await?;
        agent(&row.ok_or(Error::AgentNotFound)?)
    }

    /// Changes an agent of a workspace where the caller may write, if it is still at version `if_match`.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::AgentNotFound`], [`Error::PermissionDenied`], [`Error::VersionConflict`],
    /// [`Error::AgentNameTaken`].
    pub async fn update_agent(
        &self,
        actor: &Actor<'_>,
        id: Uuid,
        patch: AgentPatch,
        if_match: Option<i32>,
    ) -> Result<Agent, Error> {
        let mut check = Check::default();
        let name = match &patch.name {
            Change::Keep => None,
            Change::Clear => {
                check.problem("name", "cannot be null");
                None
            }
            Change::Set(name) => Some(check.name(name)),
        };
        let (changes_description, description) = patch.description.parts();
        if let Some(description) = description {
            check.text("description", description, 0, MAX_DESCRIPTION);
        }
        let guidelines = entries(&mut check, "guidelines", &patch.guidelines);
        let tools = entries(&mut check, "tools", &patch.tools);
        let (changes_model, model) = patch.model.parts();
        if let Some(model) = model {
            check.text("model", model, 1, MAX_MODEL);
        }
        let (changes_temperature, temperature) = patch.temperature.parts();
        if let Some(temperature) = temperature {
            check.temperature(*temperature);
        }
        check.finish()?;

        let workspace_ids = actor.holding(Permission::Write);
        let parameters: [&(dyn ToSql + Sync); 12] = [
            &id,
            &workspace_ids,
            &if_match,
            &name,
            &changes_description,
            &description,
            &guidelines,
            &tools,
            &changes_model,
            &model,
            &changes_temperature,
            &temperature,
        ];
        let updated = self.pool.query_opt(&sql::UPDATE_AGENT, &parameters).await;
        if let Some(row) = updated.map_err(|error| name_taken(error.into()))? {
            return agent(&row);
        }
        let untouched = self.agent(actor, id).await?;
        actor.require(&untouched.workspace_id, Permission::Write)?;
        Err(Error::VersionConflict { current: untouched.version })
    }

    /// Deletes an agent for its creator, if that one may still write in the workspace, or for an admin of it. The
    /// agent is archived and its sessions end.
    ///
    /// # Errors
    /// [`Error::AgentNotFound`], also the second time; [`Error::PermissionDenied`].
    pub async fn archive_agent(&self, actor: &Actor<'_>, id: Uuid) -> Result<(), Error> {
        let (admin, write) = (actor.holding(Permission::Admin), actor.holding(Permission::Write));
        let user_id = actor.user_id();
        let parameters: [&(dyn ToSql + Sync); 4] = [&id, &admin, &write, &user_id];
        let parameters = &parameters;
        let archive = |transaction: Transaction| async move {
            let row = transaction.query_opt(&sql::ARCHIVE_AGENT, parameters).await?;
            let Some(row) = row else {
                return Ok(None);
            };
            let workspace_id: String = read("parlant_agent", &row, |row| Ok(row.try_get(0)?))?;
            let ended = transaction.query(&sql::END_SESSIONS_OF_AGENT, &[&workspace_id, &id]).await?;
            Ok::<_, Error>(Some((workspace_id, ended)))
        };
        if let Some((workspace_id, ended)) = self.pool.transaction("archive_agent", archive).await? {
            for row in ended {
                let (session_id, user_id) =
                    read("parlant_session", &row, |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
                let (workspace_id, what) = (workspace_id.clone(), What::SessionEnded);
                self.live.announce(Notice { workspace_id, user_id, session_id, agent_id: id, what });
            }
            return Ok(());
        }
        let untouched = self.agent(actor, id).await?;
        actor.require(&untouched.workspace_id, Permission::Write)?;
        Err(Error::PermissionDenied { workspace_id: untouched.workspace_id, required: Permission::Admin })
    }
}

fn entries(check: &mut Check, field: &'static str, change: &Change<Vec<Value>>) -> Option<Jsonb> {
    match change {
        Change::Keep => None,
        Change::Clear => Some(check.entries(field, &[])),
        Change::Set(entries) => Some(check.entries(field, entries)),
    }
}

fn name_taken(error: Error) -> Error {
    match error {
        Error::Database(error) if error.constraint() == Some("parlant_agent_active_name_key") => Error::AgentNameTaken,
        other => other,
    }
}

fn agent(row: &Row) -> Result<Agent, Error> {
    read("parlant_agent", row, |row| {
        Ok(Agent {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            description: row.try_get(2)?,
            guidelines: row.try_get::<_, Jsonb>(3)?.into(),
            tools: row.try_get::<_, Jsonb>(4)?.into(),
            model: row.try_get(5)?,
            temperature: row.try_get(6)?,
            workspace_id: row.try_get(7)?,
            user_id: row.try_get(8)?,
            created_at: row.try_get(9)?,
            updated_at: row.try_get(10)?,
            status: match row.try_get(11)? {
                "active" => AgentStatus::Active,
                "archived" => AgentStatus::Archived,
                _ => return Err("unknown status".into()),
            },
            version: row.try_get(12)?,
        })
    })
}
