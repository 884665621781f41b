//! Sim's JSON, as far as it is read. Everything that may be null or missing is optional; the rest of it is ignored.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::{Identity, Permission, Session, User, Workspace};

#[derive(Deserialize)]
pub(super) struct SessionAnswer {
    pub(super) user: WireUser,
    session: WireSession,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireUser {
    id: String,
    email: String,
    name: Option<String>,
    email_verified: Option<bool>,
    image: Option<String>,
    banned: Option<bool>,
    ban_expires: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSession {
    id: String,
    expires_at: DateTime<Utc>,
    active_organization_id: Option<String>,
    impersonated_by: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WorkspacesAnswer {
    workspaces: Vec<WireWorkspace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireWorkspace {
    id: String,
    name: Option<String>,
    /// One name, in spite of the plural.
    permissions: Option<String>,
    archived_at: Option<String>,
}

impl WireUser {
    /// A ban ends at `ban_expires`; without one it does not end.
    pub(super) fn is_banned(&self, now: DateTime<Utc>) -> bool {
        self.banned == Some(true) && self.ban_expires.is_none_or(|end| end > now)
    }
}

impl SessionAnswer {
    pub(super) fn into_identity(self, workspaces: Vec<Workspace>) -> Identity {
        let Self { user, session } = self;
        Identity {
            user: User {
                id: user.id,
                email: user.email,
                name: user.name.unwrap_or_default(),
                email_verified: user.email_verified.unwrap_or_default(),
                image: user.image,
            },
            session: Session {
                id: session.id,
                expires_at: session.expires_at,
                active_organization_id: session.active_organization_id,
                impersonated_by: session.impersonated_by,
            },
            workspaces,
        }
    }
}

impl WorkspacesAnswer {
    /// The effective permissions are Sim's own. Archived workspaces and permissions of unknown name grant nothing.
    pub(super) fn into_workspaces(self) -> Vec<Workspace> {
        let mut workspaces: Vec<_> = self
            .workspaces
            .into_iter()
            .filter(|workspace| workspace.archived_at.is_none())
            .filter_map(|workspace| {
                let permission = Permission::from_name(workspace.permissions.as_deref()?)?;
                Some(Workspace { id: workspace.id, name: workspace.name.unwrap_or_default(), permission })
            })
            .collect();
        workspaces.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        workspaces
    }
}

/// Whether this is the refusal of a token that was looked up, and not of a request that Sim did not understand.
pub(super) fn says_invalid_token(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refused {
        message: String,
    }
    serde_json::from_slice(body).is_ok_and(|refused: Refused| refused.message.eq_ignore_ascii_case("invalid token"))
}
