//! Who a valid credential stands for, and what that person may do.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// What a user may do in a workspace: `Read` is part of `Write`, `Write` of `Admin`, and the order of the
/// variants is that order, so `granted >= needed` is the whole check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// May look.
    Read,
    /// May also change.
    Write,
    /// May also manage what others made.
    Admin,
}

impl Permission {
    /// The name that Sim's `permission_type` uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The permission of that name; `None` for a name that Sim does not have (yet), which therefore grants nothing.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// Everything that this permission includes, weakest first.
    #[must_use]
    pub const fn expand(self) -> &'static [Self] {
        match self {
            Self::Read => &[Self::Read],
            Self::Write => &[Self::Read, Self::Write],
            Self::Admin => &[Self::Read, Self::Write, Self::Admin],
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A user of Sim. `Debug` shows the id alone: names and e-mail addresses do not belong in logs.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Sim's id: opaque text, never parsed.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// The display name.
    pub name: String,
    /// Whether the address was proved to be the user's.
    pub email_verified: bool,
    /// Address of a picture.
    pub image: Option<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The sign-in that the credential belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Sim's id of the session row; for a JWT its `jti`, or a digest of the token when it has none.
    pub id: String,
    /// The moment from which the credential is worth nothing.
    pub expires_at: DateTime<Utc>,
    /// The organization chosen in Sim's user interface. It grants nothing.
    pub active_organization_id: Option<String>,
    /// The platform administrator who acts as this user, if one does. Worth a line in an audit log; it is not
    /// shown to clients.
    #[serde(skip)]
    pub impersonated_by: Option<String>,
}

/// A workspace that the user may enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Sim's id: opaque text, never parsed.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The effective permission: granted explicitly, or derived from the organization.
    pub permission: Permission,
}

/// As `{id, name, role, permissions[]}`: `role` names the permission, `permissions` lists all that it includes.
impl Serialize for Workspace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Workspace", 4)?;
        object.serialize_field("id", &self.id)?;
        object.serialize_field("name", &self.name)?;
        object.serialize_field("role", &self.permission)?;
        object.serialize_field("permissions", self.permission.expand())?;
        object.end()
    }
}

/// Everything known about the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The person.
    pub user: User,
    /// The sign-in.
    pub session: Session,
    /// The workspaces that the person may enter, by name; archived ones are not among them.
    pub workspaces: Vec<Workspace>,
}

impl Identity {
    /// What the caller may do in a workspace; `None` when it is archived, somebody else's, or does not exist.
    #[must_use]
    pub fn permission(&self, workspace_id: &str) -> Option<Permission> {
        self.workspace(workspace_id).map(|workspace| workspace.permission)
    }

    /// The workspace, if the caller may enter it.
    #[must_use]
    pub fn workspace(&self, workspace_id: &str) -> Option<&Workspace> {
        self.workspaces.iter().find(|workspace| workspace.id == workspace_id)
    }
}
