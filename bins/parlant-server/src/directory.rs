use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;

use parlant_auth_bridge::DatabaseSource;
use parlant_conversations::WorkspaceDirectory;

/// Sim's own list of workspaces, for those who look for vanished ones.
pub(crate) struct SimDirectory(pub(crate) Arc<DatabaseSource>);

impl WorkspaceDirectory for SimDirectory {
    async fn existing(&self, ids: &[String]) -> Result<HashSet<String>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.existing_workspaces(ids).await?)
    }
}
