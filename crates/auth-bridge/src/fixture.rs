//! Sim's tables and a demo user, for development servers and tests. Never for a database that Sim uses.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tokio_postgres::{Client, Error};

use crate::signature::Signer;
use crate::{ConfigError, Permission};

/// The tables of Sim's that the bridge reads, to be run in an empty database.
pub const SIM_SCHEMA: &str = include_str!("../fixture/sim_schema.sql");

/// How long the demo session lives: as long as one that Sim makes.
const SESSION_DAYS: i64 = 30;

const USER: &str = "demo0user0000000000000000000000a";
const SESSION: &str = "demo0session0000000000000000000a";
const WORKSPACES: [(&str, &str, Permission); 2] = [
    ("00000000-0000-4000-8000-00000000000a", "Demo", Permission::Admin),
    ("00000000-0000-4000-8000-00000000000b", "Demo (read only)", Permission::Read),
];

const INSERT_USER: &str = "-- fixture_user
insert into \"user\" (id, name, email, email_verified, created_at, updated_at)
values ($1, 'Demo User', 'demo@example.com', true, $2, $2)
on conflict (id) do nothing";

const INSERT_WORKSPACE: &str = "-- fixture_workspace
insert into workspace (id, name, owner_id, billed_account_user_id, created_at, updated_at)
values ($1, $2, $3, $3, $4, $4)
on conflict (id) do nothing";

const INSERT_PERMISSION: &str = "-- fixture_permission
insert into permissions (id, user_id, entity_type, entity_id, permission_type, created_at, updated_at)
values (gen_random_uuid()::text, $1, 'workspace', $2, $3::text::permission_type, $4, $4)
on conflict (user_id, entity_type, entity_id) do nothing";

/// The token is made once and kept, so that what was pasted yesterday works today.
const UPSERT_SESSION: &str = "-- fixture_session
insert into session (id, token, user_id, expires_at, created_at, updated_at)
values ($1, replace(gen_random_uuid()::text, '-', ''), $2, $3, $4, $4)
on conflict (id) do update set expires_at = excluded.expires_at, updated_at = excluded.updated_at
returning token";

/// Who and what [`seed`] wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Demo {
    /// The demo user.
    pub user_id: String,
    /// The raw token of the demo user's session. Whoever has it is the demo user.
    pub token: String,
    /// When the session ends.
    pub expires_at: DateTime<Utc>,
    /// The two workspaces: one that the user administers, one that the user may read.
    pub workspaces: Vec<DemoWorkspace>,
}

/// A workspace of the demo user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoWorkspace {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What the demo user may do in it.
    pub permission: Permission,
}

impl Demo {
    /// The token as Better Auth signs it: what its cookie holds, not percent-encoded.
    ///
    /// # Errors
    /// [`ConfigError::ShortSecret`].
    pub fn signed_token(&self, secret: &SecretString) -> Result<String, ConfigError> {
        Ok(Signer::new(secret)?.sign(&self.token))
    }
}

/// Writes the demo user, two workspaces and a session that is valid for 30 days from `now`, over a connection that
/// may write Sim's tables. A second run renews the session and keeps its token.
///
/// # Errors
/// When the database refuses; some of the rows may then be there, and the next run completes them.
pub async fn seed(client: &Client, now: DateTime<Utc>) -> Result<Demo, Error> {
    let expires_at = now + TimeDelta::days(SESSION_DAYS);
    let now = now.naive_utc();
    client.execute(INSERT_USER, &[&USER, &now]).await?;
    for (id, name, permission) in WORKSPACES {
        client.execute(INSERT_WORKSPACE, &[&id, &name, &USER, &now]).await?;
        client.execute(INSERT_PERMISSION, &[&USER, &id, &permission.as_str(), &now]).await?;
    }
    let session = client.query_one(UPSERT_SESSION, &[&SESSION, &USER, &expires_at.naive_utc(), &now]).await?;
    let workspace = |(id, name, permission): (&str, &str, _)| DemoWorkspace {
        id: id.to_owned(),
        name: name.to_owned(),
        permission,
    };
    Ok(Demo {
        user_id: USER.to_owned(),
        token: session.try_get("token")?,
        expires_at,
        workspaces: WORKSPACES.map(workspace).into(),
    })
}
