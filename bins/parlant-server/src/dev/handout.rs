use std::io::{self, Write as _};
use std::net::SocketAddr;

use parlant_auth_bridge::fixture::Demo;
use serde_json::json;

use super::database::Database;
use super::engine::Engine;

/// What somebody needs to use a server that `dev` started.
pub(crate) struct Handout<'a> {
    base_url: String,
    admin_url: &'a str,
    demo: &'a Demo,
    engine: &'a Engine,
}

impl<'a> Handout<'a> {
    pub(crate) fn new(address: SocketAddr, database: &'a Database, engine: &'a Engine) -> Self {
        Self { base_url: format!("http://{address}"), admin_url: &database.admin_url, demo: &database.demo, engine }
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
            "engine_url": self.engine.url(),
            "user_id": self.demo.user_id,
            "workspaces": workspaces,
        });
        format!("{handout:#}\n")
    }

    /// The page to chat on, the token and commands to paste, on standard output.
    pub(crate) fn print(&self) -> io::Result<()> {
        let workspace = self.demo.workspaces.first().map_or("", |workspace| workspace.id.as_str());
        let (url, token, engine) = (&self.base_url, &self.demo.token, self.engine.description());
        // The greedy pattern finds the last "id" of an answer; `"workspace_id":` has no quote before its id.
        write!(
            io::stdout().lock(),
            r#"
The bridge listens on {url}.

  Chat with an agent:  {url}/
  Who answers:         {engine}
  Session token:       {token}

Paste these to create an agent, start a session, post a message and see the answer:

call() {{ curl -sS -H "Authorization: Bearer {token}" -H 'Content-Type: application/json' "$@"; echo; }}

AGENT=$(call {url}/api/v1/agents -d '{{"name":"Helper '$RANDOM'","workspace_id":"{workspace}"}}' | tee /dev/stderr | sed 's/.*"id":"\([^"]*\)".*/\1/')
SESSION=$(call {url}/api/v1/agents/sessions -d '{{"agent_id":"'$AGENT'","workspace_id":"{workspace}"}}' | tee /dev/stderr | sed 's/.*"session_id":"\([^"]*\)".*/\1/')
MESSAGES={url}/api/v1/agents/sessions/$SESSION/messages
call $MESSAGES -d '{{"content":"Hello!"}}'
for second in 1 2 3 4 5 6 7 8 9 10; do sleep 1; call $MESSAGES | grep '"message_type":"agent"' && break; done

Stop with Ctrl-C; --fresh starts over.
"#
        )
    }
}
