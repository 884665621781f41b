//! Who asks, and in which workspaces that person may do what.

use parlant_auth_bridge::{Identity, Permission};

use crate::Error;

/// The caller of every operation: a user and the workspaces that are open to that user.
///
/// There is no operation without one, and every statement is confined to the workspaces named here. An actor
/// without workspaces reaches nothing.
///
/// ```
/// use parlant_auth_bridge::Permission;
/// use parlant_conversations::Actor;
///
/// let actor = Actor::new("user-1", [("sales", Permission::Write), ("support", Permission::Read)]);
/// assert!(actor.require("sales", Permission::Write).is_ok());
/// assert!(actor.require("support", Permission::Write).is_err());
/// assert!(actor.require("of somebody else", Permission::Read).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Actor<'a> {
    user_id: &'a str,
    /// Sorted by workspace, each once.
    grants: Vec<(&'a str, Permission)>,
}

impl<'a> Actor<'a> {
    /// A user with the permission held in each workspace. Of several for one workspace the highest counts.
    pub fn new(user_id: &'a str, grants: impl IntoIterator<Item = (&'a str, Permission)>) -> Self {
        let mut grants: Vec<_> = grants.into_iter().collect();
        grants.sort_unstable_by(|a, b| a.0.cmp(b.0).then(b.1.cmp(&a.1)));
        grants.dedup_by_key(|grant| grant.0);
        Self { user_id, grants }
    }

    /// Sim's id of the user.
    #[must_use]
    pub const fn user_id(&self) -> &'a str {
        self.user_id
    }

    /// What the user may do in a workspace; nothing when it is not among the user's.
    #[must_use]
    pub fn permission(&self, workspace_id: &str) -> Option<Permission> {
        let found = self.grants.binary_search_by(|grant| grant.0.cmp(workspace_id));
        found.ok().map(|index| self.grants[index].1)
    }

    /// Demands a permission in a workspace.
    ///
    /// # Errors
    /// [`Error::PermissionDenied`], whether or not the workspace exists.
    pub fn require(&self, workspace_id: &str, required: Permission) -> Result<(), Error> {
        if self.permission(workspace_id) >= Some(required) {
            Ok(())
        } else {
            Err(Error::PermissionDenied { workspace_id: workspace_id.to_owned(), required })
        }
    }

    /// The same user confined to one workspace, or unchanged when none is named.
    ///
    /// # Errors
    /// [`Error::PermissionDenied`] when the workspace is not among the user's.
    pub(crate) fn within(&self, workspace_id: Option<&'a str>) -> Result<Self, Error> {
        let Some(workspace_id) = workspace_id else {
            return Ok(self.clone());
        };
        self.require(workspace_id, Permission::Read)?;
        let grants = self.permission(workspace_id).map(|held| (workspace_id, held));
        Ok(Self::new(self.user_id, grants))
    }

    /// The workspaces in which the user may do at least this.
    pub(crate) fn holding(&self, required: Permission) -> Vec<&'a str> {
        self.select(|held| held >= required)
    }

    /// The workspaces in which the user may read and write but sees only what is the user's own.
    pub(crate) fn below_admin(&self) -> Vec<&'a str> {
        self.select(|held| held < Permission::Admin)
    }

    fn select(&self, wanted: impl Fn(Permission) -> bool) -> Vec<&'a str> {
        let wanted = self.grants.iter().filter(|grant| wanted(grant.1));
        wanted.map(|grant| grant.0).collect()
    }
}

impl<'a> From<&'a Identity> for Actor<'a> {
    fn from(identity: &'a Identity) -> Self {
        let workspaces = identity.workspaces.iter();
        let grants = workspaces.map(|workspace| (workspace.id.as_str(), workspace.permission));
        Self::new(&identity.user.id, grants)
    }
}
