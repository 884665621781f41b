use std::io::{self, Write as _};
use std::net::SocketAddr;

use parlant_auth_bridge::fixture::Demo;
use serde_json::json;

use super::database::Database;

/// What somebody needs to use a server that `dev` started.
pub(crate) struct Handout<'a> {
    base_url: String,
    admin_url: &'a str,
    demo: &'a Demo,
}

impl<'a> Handout<'a> {
    pub(crate) fn new(address: SocketAddr, database: &'a Database) -> Self {
        Self { base_url: format!("http://{address}"), admin_url: &database.admin_url, demo: &database.demo }
    }

    /// `dev.json`, for scripts.
    pub(crate) fn json(&self) -> String {
        let workspaces: Vec<_> = self
            .demo
            .workspaces
            .iter()
            .map(|workspace| json!({ "id": workspace.id, "name": workspace.name, "permission": workspace.permission }))
            .collect();
        let handout = json!({
            "base_url": self.base_url,
            "token": self.demo.token,
            "database_url": self.admin_url,
            "user_id": self.demo.user_id,
            "workspaces": workspaces,
        });
        format!("{handout:#}\n")
    }

    /// The token and three commands to paste, on standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        let workspace = self.demo.workspaces.first().map_or("", |workspace| workspace.id.as_str());
        let (url, token) = (&self.base_url, &self.demo.token);
        // The greedy pattern finds the last "id" of an answer; `"workspace_id":` has no quote before its id.
        write!(
            io::stdout().lock(),
            r#"
The bridge listens on {url}. The demo user's session token:

  {token}

Paste these to create an agent, start a session and post a message:

call() {{ curl -sS -H "Authorization: Bearer {token}" -H 'Content-Type: application/json' "$@"; echo; }}

AGENT=$(call {url}/api/v1/agents -d '{{"name":"Helper '$RANDOM'","workspace_id":"{workspace}"}}' | tee /dev/stderr | sed 's/.*"id":"\([^"]*\)".*/\1/')
SESSION=$(call {url}/api/v1/agents/sessions -d '{{"agent_id":"'$AGENT'","workspace_id":"{workspace}"}}' | tee /dev/stderr | sed 's/.*"session_id":"\([^"]*\)".*/\1/')
call {url}/api/v1/agents/sessions/$SESSION/messages -d '{{"content":"Hello!"}}'

Stop with Ctrl-C; --fresh starts over.
"#
        )
    }
}
