//! The shapes of answers whose types live in rooms that know nothing of HTTP. Nothing is made of these but the document;
//! the tests hold every answer that they get against it.
#![expect(dead_code, reason = "their derives alone are used")]
#![expect(clippy::struct_field_names, reason = "the names that clients know")]

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// Ours: a UUID, of version 7 where the bridge made it.
#[derive(ToSchema)]
#[schema(value_type = String, format = "uuid", example = "019ab7d2-4c1e-7c3a-9f0b-2d6a8e41b7f5")]
pub(crate) struct Id(String);

/// What somebody may do in a workspace: `read` is part of `write`, `write` of `admin`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Permission {
    Read,
    Write,
    Admin,
}

/// A user of Sim.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "Zq3vV0c1Y8", "email": "ada@example.com", "name": "Ada", "email_verified": true, "image": null
}))]
pub(crate) struct User {
    /// Sim's id: opaque text.
    id: String,
    email: String,
    name: String,
    /// Whether the address was proved to be the user's.
    email_verified: bool,
    /// Address of a picture.
    #[schema(required = true)]
    image: Option<String>,
}

/// The sign-in that the credential belongs to.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "b6Jw2nK4", "expires_at": "2026-02-01T12:00:00Z", "active_organization_id": null
}))]
pub(crate) struct SignIn {
    /// Sim's id of the session; for a JWT its `jti` or a digest.
    id: String,
    /// When the credential ends.
    expires_at: DateTime<Utc>,
    /// The organization chosen in Sim. It grants nothing.
    #[schema(required = true)]
    active_organization_id: Option<String>,
}

/// A workspace that the caller may enter.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "00000000-0000-4000-8000-00000000000a", "name": "Lab", "role": "write", "permissions": ["read", "write"]
}))]
pub(crate) struct Workspace {
    /// Sim's id: opaque text.
    id: String,
    name: String,
    /// The strongest permission.
    role: Permission,
    /// All that it includes.
    permissions: Vec<Permission>,
}

/// What the session cache did since the start, and holds now.
#[derive(ToSchema)]
#[schema(example = json!({
    "total_cached_sessions": 42, "active_sessions": 40, "expired_sessions": 2, "hits": 970, "misses": 30,
    "hit_ratio": 0.97, "max_size": 1000, "ttl_seconds": 300
}))]
pub(crate) struct CacheStatistics {
    total_cached_sessions: u64,
    active_sessions: u64,
    expired_sessions: u64,
    /// Look-ups answered from memory.
    hits: u64,
    /// Look-ups that were not.
    misses: u64,
    /// `hits / (hits + misses)`; 0 before the first look-up.
    #[schema(minimum = 0, maximum = 1)]
    hit_ratio: f64,
    /// 0 when caching is off.
    max_size: u64,
    ttl_seconds: u64,
}

/// A guideline or a tool: an object, or a text.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Entry {
    Text(String),
    Object(HashMap<String, serde_json::Value>),
}

/// An agent of a workspace.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "019ab7d2-4c1e-7c3a-9f0b-2d6a8e41b7f5", "name": "Help desk", "description": "Answers questions",
    "guidelines": ["Be brief", {"condition": "Somebody says hello", "action": "Say hello and ask how to help"}],
    "tools": [], "model": null, "temperature": 0.5, "workspace_id": "00000000-0000-4000-8000-00000000000a",
    "user_id": "Zq3vV0c1Y8", "created_at": "2026-01-01T12:00:00Z", "updated_at": "2026-01-01T12:00:00Z",
    "status": "active"
}))]
pub(crate) struct Agent {
    id: Id,
    /// Unique among the active agents of the workspace.
    name: String,
    #[schema(required = true)]
    description: Option<String>,
    guidelines: Vec<Entry>,
    tools: Vec<Entry>,
    #[schema(required = true)]
    model: Option<String>,
    #[schema(required = true)]
    temperature: Option<f64>,
    workspace_id: String,
    /// Who created it.
    user_id: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    status: AgentStatus,
}

/// Whether an agent is there; an archived one is not shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AgentStatus {
    Active,
    Archived,
}

/// A conversation with an agent.
#[derive(ToSchema)]
#[schema(example = json!({
    "session_id": "019ab7d2-9a77-7b02-8c55-90f3a1d2e4b6", "agent_id": "019ab7d2-4c1e-7c3a-9f0b-2d6a8e41b7f5",
    "workspace_id": "00000000-0000-4000-8000-00000000000a", "user_id": "Zq3vV0c1Y8", "status": "active",
    "created_at": "2026-01-01T12:00:00Z", "context": {"page": "home"}
}))]
pub(crate) struct Session {
    session_id: Id,
    agent_id: Id,
    workspace_id: String,
    /// Whose conversation it is.
    user_id: String,
    status: SessionStatus,
    created_at: DateTime<Utc>,
    /// What the client attached.
    #[schema(value_type = Object)]
    context: (),
}

/// Whether a session takes messages.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionStatus {
    Active,
    Ended,
}

/// A message of a session.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "019ab7d3-0b4e-7d81-a6f2-5c9e7b3d1a08", "session_id": "019ab7d2-9a77-7b02-8c55-90f3a1d2e4b6", "offset": 0,
    "content": "Hello!", "message_type": "user", "timestamp": "2026-01-01T12:00:01.5Z", "metadata": {}
}))]
pub(crate) struct Message {
    id: Id,
    session_id: Id,
    /// Its place in the session, from 0 without a gap.
    #[schema(minimum = 0)]
    offset: i32,
    content: String,
    message_type: MessageType,
    timestamp: DateTime<Utc>,
    /// What came with it. An agent's message has `in_reply_to`, `processing_time_ms` and `matched_guidelines`; a system
    /// message that says that a turn failed has `in_reply_to` and `error`.
    #[schema(value_type = Object)]
    metadata: (),
}

/// Who speaks. Clients post `user` and `system`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MessageType {
    User,
    System,
    Agent,
}

/// The types of message that clients post.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PostedType {
    User,
    System,
}

/// A stretch of a session.
#[derive(ToSchema)]
#[schema(example = json!({
    "messages": [{
        "id": "019ab7d3-0b4e-7d81-a6f2-5c9e7b3d1a08", "session_id": "019ab7d2-9a77-7b02-8c55-90f3a1d2e4b6",
        "offset": 0, "content": "Hello!", "message_type": "user", "timestamp": "2026-01-01T12:00:01.5Z",
        "metadata": {}
    }],
    "total": 1, "offset": 0, "limit": 50
}))]
pub(crate) struct Messages {
    messages: Vec<Message>,
    /// Messages of the whole session.
    #[schema(minimum = 0)]
    total: i64,
    offset: u32,
    limit: u32,
}

/// What a session's stream tells: one server-sent event.
#[derive(ToSchema)]
#[schema(example = json!({
    "event": "status",
    "data": "{\"session_id\":\"019ab7d2-9a77-7b02-8c55-90f3a1d2e4b6\",\"agent_id\":\"019ab7d2-4c1e-7c3a-9f0b-2d6a8e41b7f5\",\"status\":\"typing\"}"
}))]
pub(crate) struct ServerEvent {
    event: EventName,
    /// Of a message: its offset, for `Last-Event-ID`.
    #[schema(nullable = false)]
    id: Option<String>,
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// The names of a session's events.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventName {
    Message,
    Status,
    #[serde(rename = "session:ended")]
    SessionEnded,
    End,
}

/// How something is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealthStatus {
    Healthy,
    Degraded,
    Unhealthy,
    /// Said by `/health` and `/readyz` alone: the server is being stopped.
    Draining,
}

/// How the service is, in a word.
#[derive(ToSchema)]
#[schema(example = json!({
    "status": "healthy", "service": "parlant-server", "version": "0.1.0",
    "start_id": "0198c0de-7a1e-7b5c-9d2f-3c4d5e6f7a8b"
}))]
pub(crate) struct Health {
    status: HealthStatus,
    service: String,
    version: String,
    /// Another one in each process.
    start_id: Id,
}

/// That the process answers.
#[derive(ToSchema)]
#[schema(example = json!({
    "status": "alive", "service": "parlant-server", "version": "0.1.0",
    "start_id": "0198c0de-7a1e-7b5c-9d2f-3c4d5e6f7a8b"
}))]
pub(crate) struct Alive {
    /// `alive`
    status: String,
    service: String,
    version: String,
    /// Another one in each process.
    start_id: Id,
}

/// As draft-inadarei-api-health-check has it.
#[derive(ToSchema)]
#[schema(as = HealthJson, example = json!({
    "status": "pass", "serviceId": "parlant-server", "releaseId": "0.1.0"
}))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standard {
    status: Grade,
    service_id: String,
    release_id: String,
    /// By the check's name and what was measured, such as `database:responseTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    checks: Option<HashMap<String, Vec<HashMap<String, serde_json::Value>>>>,
}

/// Healthy, degraded, unhealthy.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    Pass,
    Warn,
    Fail,
}

/// What the service depends on and does, and how it is.
#[derive(ToSchema)]
#[schema(example = json!({
    "status": "healthy", "overall_status": "healthy", "service": "parlant-server", "version": "0.1.0",
    "timestamp": "2026-01-01T12:00:00Z",
    "checks": {"database": {
        "status": "healthy", "critical": true, "response_time_ms": 0.412, "checked_at": "2026-01-01T11:59:55.1Z",
        "details": {"agent_count": 12, "pool_stats": {"active": 1, "idle": 9, "max": 30, "waiting": 0}}, "error": null
    }},
    "dependencies": {"database": {
        "status": "healthy", "response_time_ms": 0.412,
        "connection_pool": {"active": 1, "idle": 9, "max": 30, "waiting": 0}
    }},
    "metrics": {
        "active_sessions": 40, "total_agents": 12, "requests_per_minute": 180.0, "average_response_time_ms": 3.2
    }
}))]
pub(crate) struct HealthReport {
    status: HealthStatus,
    /// The same.
    overall_status: HealthStatus,
    service: String,
    version: String,
    timestamp: DateTime<Utc>,
    /// By the check's name.
    checks: HashMap<String, HealthCheck>,
    /// By what the service depends on.
    dependencies: HashMap<String, HashMap<String, serde_json::Value>>,
    metrics: Figures,
}

/// How one thing is.
#[derive(ToSchema)]
pub(crate) struct HealthCheck {
    status: HealthStatus,
    response_time_ms: f64,
    /// Whether the service is of no use without it.
    critical: bool,
    #[schema(required = true)]
    checked_at: Option<DateTime<Utc>>,
    /// Numbers for people; left out for strangers with `HEALTH_DETAILS=authenticated`.
    details: Option<serde_json::Value>,
    /// What is wrong, in fixed words; left out like `details`.
    error: Option<String>,
}

/// What the service does.
#[derive(ToSchema)]
pub(crate) struct Figures {
    #[schema(required = true)]
    active_sessions: Option<u64>,
    #[schema(required = true)]
    total_agents: Option<u64>,
    /// Of the last minute.
    requests_per_minute: f64,
    /// Of the last minute.
    #[schema(required = true)]
    average_response_time_ms: Option<f64>,
}

/// The answer to everything that fails, on every path.
#[derive(ToSchema)]
pub(crate) struct Error {
    error: Failure,
}

/// Why a request was not answered as asked.
#[derive(ToSchema)]
pub(crate) struct Failure {
    /// Stable, for programs.
    code: String,
    /// Fixed text, for people.
    message: String,
    /// What varies: `field_errors` of a request that is not valid, and the like.
    #[schema(required = true, value_type = Option<HashMap<String, serde_json::Value>>)]
    details: Option<()>,
    timestamp: DateTime<Utc>,
    /// As in `X-Request-ID` and in the log.
    request_id: String,
}
