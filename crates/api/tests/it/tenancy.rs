//! Random operations by several users over several workspaces, against a model in memory: everybody sees exactly what
//! is theirs, and never a foreign row.
//!
//! Several worlds run at once in one database, each with people, workspaces and a model of its own, and each tries
//! the ids of the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use parlant_auth_bridge::Permission;
use parlant_test_support::{Sim, database};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{Answer, Options, Server, answer};

const WORLDS: u64 = 8;
/// Of each world.
const OPERATIONS: usize = 1_300;
const USERS: usize = 5;
const WORKSPACES: usize = 4;
const AGENT_LIMIT: usize = 12;
const SESSION_LIMIT: usize = 15;

/// The ids that any world has made, for the others to try.
type Rumours = Arc<Mutex<Vec<(String, String)>>>;

/// The cursors that any world was given.
type Cursors = Arc<Mutex<Vec<String>>>;

struct World {
    server: Arc<Server>,
    sim: Sim,
    rng: StdRng,
    rumours: Rumours,
    cursors: Cursors,
    asked: usize,
    users: Vec<User>,
    workspaces: Vec<String>,
    granted: BTreeMap<(usize, usize), Permission>,
    agents: Vec<Agent>,
    sessions: Vec<Session>,
}

struct User {
    id: String,
    token: String,
}

struct Agent {
    id: String,
    workspace: usize,
    creator: usize,
    name: String,
    active: bool,
}

struct Session {
    id: String,
    agent: usize,
    workspace: usize,
    owner: usize,
    active: bool,
    messages: Vec<String>,
}

impl World {
    async fn new(server: Arc<Server>, sim: Sim, rumours: Rumours, cursors: Cursors, seed: u64) -> Self {
        let mut world = Self {
            server,
            sim,
            rng: StdRng::seed_from_u64(seed),
            rumours,
            cursors,
            asked: 0,
            users: Vec::new(),
            workspaces: Vec::new(),
            granted: BTreeMap::new(),
            agents: Vec::new(),
            sessions: Vec::new(),
        };
        for _ in 0..USERS {
            let id = world.sim.user("Somebody").await;
            let token = world.sim.session(&id).await;
            world.users.push(User { id, token });
        }
        for workspace in 0..WORKSPACES {
            let owner = workspace % USERS;
            let id = world.sim.workspace(&world.users[owner].id).await;
            world.workspaces.push(id);
            world.granted.insert((owner, workspace), Permission::Admin);
            for user in 0..USERS {
                if user != owner {
                    world.grant(user, workspace).await;
                }
            }
        }
        for user in 0..USERS {
            world.sign_in(user).await;
        }
        world
    }

    /// Gives the user a random permission in the workspace, or none.
    async fn grant(&mut self, user: usize, workspace: usize) {
        let (user_id, workspace_id) = (&self.users[user].id, &self.workspaces[workspace]);
        let permissions = [None, Some(Permission::Read), Some(Permission::Write), Some(Permission::Admin)];
        match *permissions.choose(&mut self.rng).unwrap() {
            Some(permission) => {
                self.sim.permission(user_id, workspace_id, permission.as_str()).await;
                self.granted.insert((user, workspace), permission);
            }
            None => {
                self.sim.revoke_permission(user_id, workspace_id).await;
                self.granted.remove(&(user, workspace));
            }
        }
    }

    /// A new token, which the server asks about anew.
    async fn sign_in(&mut self, user: usize) {
        self.users[user].token = self.sim.session(&self.users[user].id).await;
    }

    fn permission(&self, user: usize, workspace: usize) -> Option<Permission> {
        self.granted.get(&(user, workspace)).copied()
    }

    fn may(&self, user: usize, workspace: usize, permission: Permission) -> bool {
        self.permission(user, workspace) >= Some(permission)
    }

    fn sees_session(&self, user: usize, session: &Session) -> bool {
        let held = self.permission(user, session.workspace);
        held == Some(Permission::Admin) || (session.owner == user && held.is_some())
    }

    /// Asks as the user, with headers that must not widen anybody's rights. No workspace of the answer may be one that
    /// the user cannot read.
    async fn ask(&mut self, user: usize, method: Method, path: &str, body: Option<Value>) -> Answer {
        let other = self.rng.random_range(0..USERS);
        let workspace = self.rng.random_range(0..WORKSPACES);
        let caller = self.server.caller(&self.users[user].token);
        let mut request = caller
            .request(method, path)
            .header("x-user-id", &self.users[other].id)
            .header("x-workspace-id", &self.workspaces[workspace])
            .header("x-workspaces", self.workspaces.join(","))
            .header("cookie", format!("better-auth.session_token={}", self.users[other].token));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = answer(request).await;
        if answer.status.is_success() {
            self.assert_readable(user, &answer.json());
        }
        let link = answer.header("link").split("cursor=").nth(1);
        if let Some(cursor) = link.and_then(|rest| rest.split(['&', '>']).next()) {
            self.cursors.lock().unwrap().push(cursor.to_owned());
        }
        self.asked += 1;
        answer
    }

    fn assert_readable(&self, user: usize, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.assert_readable(user, value)),
            Value::Object(fields) => {
                if let Some(id) = fields.get("workspace_id") {
                    let known = self.workspaces.iter().position(|known| id == known);
                    let readable = known.is_some_and(|known| self.may(user, known, Permission::Read));
                    assert!(readable, "a foreign row: {value}");
                }
                fields.values().for_each(|value| self.assert_readable(user, value));
            }
            _ => {}
        }
    }

    async fn step(&mut self) {
        let user = self.rng.random_range(0..USERS);
        match self.rng.random_range(0..100) {
            0..3 => {
                let workspace = self.rng.random_range(0..WORKSPACES);
                self.grant(user, workspace).await;
                self.sign_in(user).await;
                self.list_agents(user).await;
            }
            3..13 => self.create_agent(user).await,
            13..23 => self.read_agent(user).await,
            23..33 => self.change_agent(user).await,
            33..38 => self.delete_agent(user).await,
            38..50 => self.list_agents(user).await,
            50..58 => self.start_session(user).await,
            58..64 => self.read_session(user).await,
            64..69 => self.end_session(user).await,
            69..77 => self.list_sessions(user).await,
            77..87 => self.post_message(user).await,
            87..95 => self.read_messages(user).await,
            95..97 => self.access(user).await,
            _ => self.steal(user).await,
        }
    }

    fn random_agent(&mut self) -> Option<usize> {
        (!self.agents.is_empty()).then(|| self.rng.random_range(0..self.agents.len()))
    }

    fn random_session(&mut self) -> Option<usize> {
        (!self.sessions.is_empty()).then(|| self.rng.random_range(0..self.sessions.len()))
    }

    fn random_name(&mut self) -> String {
        format!("Agent {}", self.rng.random_range(0..20))
    }

    fn name_taken(&self, workspace: usize, name: &str, but: Option<usize>) -> bool {
        let mut agents = self.agents.iter().enumerate();
        agents.any(|(index, agent)| {
            agent.active && agent.workspace == workspace && agent.name == name && Some(index) != but
        })
    }

    async fn create_agent(&mut self, user: usize) {
        let workspace = self.rng.random_range(0..WORKSPACES);
        let name = self.random_name();
        let body = json!({"workspace_id": self.workspaces[workspace], "name": name});
        let answer = self.ask(user, Method::POST, "/api/v1/agents", Some(body)).await;
        let here = self.agents.iter().filter(|agent| agent.active && agent.workspace == workspace);
        if !self.may(user, workspace, Permission::Write) {
            answer.refused(403, "WORKSPACE_ACCESS_DENIED");
        } else if here.count() >= AGENT_LIMIT {
            answer.refused(429, "WORKSPACE_LIMIT_EXCEEDED");
        } else if self.name_taken(workspace, &name, None) {
            answer.refused(409, "AGENT_NAME_TAKEN");
        } else {
            let agent = answer.expect(201);
            assert_eq!(agent["user_id"], *self.users[user].id);
            let id = agent["id"].as_str().unwrap().to_owned();
            self.rumours.lock().unwrap().push((id.clone(), self.workspaces[workspace].clone()));
            self.agents.push(Agent { id, workspace, creator: user, name, active: true });
        }
    }

    async fn read_agent(&mut self, user: usize) {
        let Some(index) = self.random_agent() else {
            return;
        };
        let path = format!("/api/v1/agents/{}", self.agents[index].id);
        let answer = self.ask(user, Method::GET, &path, None).await;
        let agent = &self.agents[index];
        if agent.active && self.may(user, agent.workspace, Permission::Read) {
            let told = answer.expect(200);
            assert_eq!(told["id"], *agent.id);
            assert_eq!(told["name"], *agent.name);
        } else {
            answer.refused(404, "AGENT_NOT_FOUND");
        }
    }

    async fn change_agent(&mut self, user: usize) {
        let Some(index) = self.random_agent() else {
            return;
        };
        let name = self.random_name();
        let path = format!("/api/v1/agents/{}", self.agents[index].id);
        let answer = self.ask(user, Method::PATCH, &path, Some(json!({ "name": name }))).await;
        let agent = &self.agents[index];
        if !agent.active || !self.may(user, agent.workspace, Permission::Read) {
            answer.refused(404, "AGENT_NOT_FOUND");
        } else if !self.may(user, agent.workspace, Permission::Write) {
            answer.refused(403, "WORKSPACE_ACCESS_DENIED");
        } else if self.name_taken(agent.workspace, &name, Some(index)) {
            answer.refused(409, "AGENT_NAME_TAKEN");
        } else {
            assert_eq!(answer.expect(200)["name"], name);
            self.agents[index].name = name;
        }
    }

    async fn delete_agent(&mut self, user: usize) {
        let Some(index) = self.random_agent() else {
            return;
        };
        let path = format!("/api/v1/agents/{}", self.agents[index].id);
        let answer = self.ask(user, Method::DELETE, &path, None).await;
        let agent = &self.agents[index];
        let creator = agent.creator == user && self.may(user, agent.workspace, Permission::Write);
        if !agent.active || !self.may(user, agent.workspace, Permission::Read) {
            answer.refused(404, "AGENT_NOT_FOUND");
        } else if creator || self.may(user, agent.workspace, Permission::Admin) {
            answer.expect(200);
            self.agents[index].active = false;
            for session in self.sessions.iter_mut().filter(|session| session.agent == index) {
                session.active = false;
            }
        } else {
            answer.refused(403, "WORKSPACE_ACCESS_DENIED");
        }
    }

    /// Checks the first page of a list: exactly the first of these ids, and a link if there are more.
    fn assert_page(answer: &Answer, name: &str, mut expected: Vec<&str>, limit: usize) {
        expected.sort_unstable_by(|a, b| b.cmp(a));
        let more = expected.len() > limit;
        expected.truncate(limit);
        let told = answer.expect(200);
        let told: Vec<_> = told.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap()).collect();
        assert_eq!(told, expected);
        assert_eq!(!answer.header("link").is_empty(), more);
    }

    async fn list_agents(&mut self, user: usize) {
        let workspace = self.rng.random_bool(0.5).then(|| self.rng.random_range(0..WORKSPACES));
        let limit = self.rng.random_range(1..=100);
        let path = match workspace {
            None => format!("/api/v1/agents?limit={limit}"),
            Some(workspace) if self.rng.random_bool(0.5) => {
                let id = &self.workspaces[workspace];
                format!("/api/v1/agents/workspaces/{id}/agents?limit={limit}")
            }
            Some(workspace) => {
                let id = &self.workspaces[workspace];
                format!("/api/v1/agents?workspace_id={id}&limit={limit}")
            }
        };
        let answer = self.ask(user, Method::GET, &path, None).await;
        if workspace.is_some_and(|workspace| !self.may(user, workspace, Permission::Read)) {
            answer.refused(403, "WORKSPACE_ACCESS_DENIED");
            return;
        }
        let expected = self.agents.iter().filter(|agent| {
            agent.active
                && self.may(user, agent.workspace, Permission::Read)
                && workspace.is_none_or(|workspace| workspace == agent.workspace)
        });
        Self::assert_page(&answer, "id", expected.map(|agent| agent.id.as_str()).collect(), limit);
    }

    async fn start_session(&mut self, user: usize) {
        let Some(agent) = self.random_agent() else {
            return;
        };
        let workspace =
            if self.rng.random_bool(0.8) { self.agents[agent].workspace } else { self.rng.random_range(0..WORKSPACES) };
        let body = json!({"agent_id": self.agents[agent].id, "workspace_id": self.workspaces[workspace]});
        let answer = self.ask(user, Method::POST, "/api/v1/agents/sessions", Some(body)).await;
        let active = self.sessions.iter().filter(|session| session.active && session.owner == user);
        if !self.may(user, workspace, Permission::Read) {
            answer.refused(403, "WORKSPACE_ACCESS_DENIED");
        } else if !self.agents[agent].active || self.agents[agent].workspace != workspace {
            answer.refused(404, "AGENT_NOT_FOUND");
        } else if active.count() >= SESSION_LIMIT {
            answer.refused(429, "WORKSPACE_LIMIT_EXCEEDED");
        } else {
            let session = answer.expect(201);
            assert_eq!(session["user_id"], *self.users[user].id);
            let id = session["session_id"].as_str().unwrap().to_owned();
            self.rumours.lock().unwrap().push((id.clone(), self.workspaces[workspace].clone()));
            self.sessions.push(Session { id, agent, workspace, owner: user, active: true, messages: Vec::new() });
        }
    }

    async fn read_session(&mut self, user: usize) {
        let Some(index) = self.random_session() else {
            return;
        };
        let path = format!("/api/v1/agents/sessions/{}", self.sessions[index].id);
        let answer = self.ask(user, Method::GET, &path, None).await;
        let session = &self.sessions[index];
        if self.sees_session(user, session) {
            let told = answer.expect(200);
            assert_eq!(told["session_id"], *session.id);
            assert_eq!(told["user_id"], *self.users[session.owner].id);
            assert_eq!(told["status"] == "active", session.active);
        } else {
            answer.refused(404, "SESSION_NOT_FOUND");
        }
    }

    async fn end_session(&mut self, user: usize) {
        let Some(index) = self.random_session() else {
            return;
        };
        let path = format!("/api/v1/agents/sessions/{}", self.sessions[index].id);
        let answer = self.ask(user, Method::DELETE, &path, None).await;
        if self.sees_session(user, &self.sessions[index]) {
            answer.expect(200);
            self.sessions[index].active = false;
        } else {
            answer.refused(404, "SESSION_NOT_FOUND");
        }
    }

    async fn list_sessions(&mut self, user: usize) {
        let limit = self.rng.random_range(1..=100);
        let workspace = self.rng.random_bool(0.4).then(|| self.rng.random_range(0..WORKSPACES));
        let agent = if self.rng.random_bool(0.3) { self.random_agent() } else { None };
        let active = self.rng.random_bool(0.5).then(|| self.rng.random_bool(0.7));
        let mut path = format!("/api/v1/agents/sessions?limit={limit}");
        if let Some(workspace) = workspace {
            path.extend(["&workspace_id=", &self.workspaces[workspace]]);
        }
        if let Some(agent) = agent {
            path.extend(["&agent_id=", &self.agents[agent].id]);
        }
        if let Some(active) = active {
            path += if active { "&status=active" } else { "&status=ended" };
        }
        let answer = self.ask(user, Method::GET, &path, None).await;
        if workspace.is_some_and(|workspace| !self.may(user, workspace, Permission::Read)) {
            answer.refused(403, "WORKSPACE_ACCESS_DENIED");
            return;
        }
        let expected = self.sessions.iter().filter(|session| {
            self.sees_session(user, session)
                && workspace.is_none_or(|workspace| workspace == session.workspace)
                && agent.is_none_or(|agent| agent == session.agent)
                && active.is_none_or(|active| active == session.active)
        });
        let expected = expected.map(|session| session.id.as_str()).collect();
        Self::assert_page(&answer, "session_id", expected, limit);
    }

    async fn post_message(&mut self, user: usize) {
        let Some(index) = self.random_session() else {
            return;
        };
        let content = format!("Said {}", self.rng.random::<u32>());
        let path = format!("/api/v1/agents/sessions/{}/messages", self.sessions[index].id);
        let answer = self.ask(user, Method::POST, &path, Some(json!({ "content": content }))).await;
        let session = &mut self.sessions[index];
        let held = self.granted.get(&(user, session.workspace));
        if session.owner != user || held.is_none() {
            answer.refused(404, "SESSION_NOT_FOUND");
        } else if session.active {
            assert_eq!(answer.expect(201)["offset"], session.messages.len());
            session.messages.push(content);
        } else {
            answer.refused(409, "SESSION_ENDED");
        }
    }

    async fn read_messages(&mut self, user: usize) {
        let Some(index) = self.random_session() else {
            return;
        };
        let offset = self.rng.random_range(0..5);
        let path = format!("/api/v1/agents/sessions/{}/messages?offset={offset}", self.sessions[index].id);
        let answer = self.ask(user, Method::GET, &path, None).await;
        let session = &self.sessions[index];
        if !self.sees_session(user, session) {
            answer.refused(404, "SESSION_NOT_FOUND");
            return;
        }
        let told = answer.expect(200);
        assert_eq!(told["total"], session.messages.len());
        let contents = told["messages"].as_array().unwrap().iter().map(|message| &message["content"]);
        let expected = session.messages.iter().skip(offset);
        assert!(contents.eq(expected), "{told}");
    }

    async fn access(&mut self, user: usize) {
        let workspace = self.rng.random_range(0..WORKSPACES);
        let path = format!("/api/v1/auth/workspaces/{}/access", self.workspaces[workspace]);
        let answer = self.ask(user, Method::GET, &path, None).await;
        match self.permission(user, workspace) {
            Some(held) => assert_eq!(answer.expect(200)["workspace"]["role"], held.as_str()),
            None => drop(answer.refused(403, "WORKSPACE_ACCESS_DENIED")),
        }
    }

    /// Tries what another world has.
    async fn steal(&mut self, user: usize) {
        let rumours = self.rumours.lock().unwrap().clone();
        let foreign = rumours.iter().filter(|(_, workspace)| !self.workspaces.contains(workspace));
        let foreign: Vec<_> = foreign.collect();
        let Some((id, workspace)) = foreign.choose(&mut self.rng) else {
            return;
        };
        let own = self.workspaces[self.rng.random_range(0..WORKSPACES)].clone();
        let (method, path, body, statuses): (_, _, _, &[u16]) = match self.rng.random_range(0..10) {
            0 => (Method::GET, format!("/api/v1/agents/{id}"), None, &[404]),
            1 => (Method::PATCH, format!("/api/v1/agents/{id}"), Some(json!({"name": "Mine"})), &[404]),
            2 => (Method::DELETE, format!("/api/v1/agents/{id}"), None, &[404]),
            3 => (Method::GET, format!("/api/v1/agents/sessions/{id}"), None, &[404]),
            4 => (Method::DELETE, format!("/api/v1/agents/sessions/{id}"), None, &[404]),
            5 => (Method::GET, format!("/api/v1/agents/sessions/{id}/messages"), None, &[404]),
            6 => {
                (Method::POST, format!("/api/v1/agents/sessions/{id}/messages"), Some(json!({"content": "Hi"})), &[404])
            }
            7 => (Method::GET, format!("/api/v1/agents?workspace_id={workspace}"), None, &[403]),
            8 => (
                Method::POST,
                "/api/v1/agents/sessions".to_owned(),
                Some(json!({"agent_id": id, "workspace_id": own})),
                &[403, 404],
            ),
            _ => {
                // A cursor names a place in a list, of whomever, and opens nothing.
                let cursors = self.cursors.lock().unwrap().clone();
                let Some(cursor) = cursors.choose(&mut self.rng) else { return };
                let list = if self.rng.random_bool(0.5) { "agents" } else { "agents/sessions" };
                (Method::GET, format!("/api/v1/{list}?cursor={cursor}"), None, &[200])
            }
        };
        let answer = self.ask(user, method, &path, body).await;
        assert!(statuses.contains(&answer.status.as_u16()), "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_ever_sees_a_foreign_row() {
    let database = database().await;
    let mut options = Options::new(&database);
    options.limits.agents_per_workspace = u32::try_from(AGENT_LIMIT).unwrap();
    options.limits.sessions_per_user = u32::try_from(SESSION_LIMIT).unwrap();
    let server = Arc::new(Server::with(options));
    let (rumours, cursors) = (Rumours::default(), Cursors::default());
    let mut worlds = Vec::new();
    for seed in 0..WORLDS {
        let (server, sim) = (Arc::clone(&server), database.sim().await);
        let (rumours, cursors) = (Arc::clone(&rumours), Arc::clone(&cursors));
        worlds.push(tokio::spawn(async move {
            let mut world = World::new(server, sim, rumours, cursors, seed).await;
            while world.asked < OPERATIONS {
                world.step().await;
            }
            (world.agents.len(), world.sessions.len())
        }));
    }
    for world in worlds {
        let (agents, sessions) = world.await.unwrap();
        assert!(agents > 20 && sessions > 20, "little happened: {agents} agents, {sessions} sessions");
    }
}
