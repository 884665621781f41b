use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngExt as _;
use sha2::Sha256;
use tokio_postgres::{Client, types::ToSql};

/// How long a session lives when Sim makes it.
const SESSION: TimeDelta = TimeDelta::days(30);

/// Writes the rows that Sim would: ids in Sim's shapes, times as naive UTC, an explicit `admin` row
/// for who makes a workspace.
pub struct Sim {
    client: Client,
}

impl Sim {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Somebody signs up. Gives the id; the address is `<id>@example.com`.
    pub async fn user(&self, name: &str) -> String {
        let id = alphanumeric();
        self.run(
            r#"insert into "user" (id, name, email, normalized_email, email_verified, created_at, updated_at)
               values ($1, $2, $1 || '@example.com', $1 || '@example.com', true, $3, $3)"#,
            &[&id, &name, &now()],
        )
        .await;
        id
    }

    /// An operator bans the user. Sim deletes the sessions; this leaves them, so that the ban alone decides.
    /// `expires`: from now; a ban that has expired already is `TimeDelta::hours(-1)`.
    pub async fn ban(&self, user: &str, expires: Option<TimeDelta>) {
        let expires = expires.map(|after| now() + after);
        self.run(
            r#"update "user" set banned = true, ban_reason = 'a test', ban_expires = $2, updated_at = $3 where id = $1"#,
            &[&user, &expires, &now()],
        )
        .await;
    }

    /// Lifts a ban.
    pub async fn unban(&self, user: &str) {
        self.run(
            r#"update "user" set banned = false, ban_reason = null, ban_expires = null, updated_at = $2 where id = $1"#,
            &[&user, &now()],
        )
        .await;
    }

    /// The user's account is deleted, with sessions, permissions and owned workspaces.
    pub async fn delete_user(&self, user: &str) {
        self.run(r#"delete from "user" where id = $1"#, &[&user]).await;
    }

    /// The user makes a personal workspace, and with it becomes its admin. Gives the id.
    pub async fn workspace(&self, owner: &str) -> String {
        let id = uuid();
        self.run(
            "insert into workspace (id, name, owner_id, billed_account_user_id, workspace_mode, created_at, updated_at)
             values ($1, 'Workspace of ' || $2, $2, $2, 'personal', $3, $3)",
            &[&id, &owner, &now()],
        )
        .await;
        self.permission(owner, &id, "admin").await;
        id
    }

    /// The workspace is soft-deleted.
    pub async fn archive(&self, workspace: &str) {
        self.run("update workspace set archived_at = $2, updated_at = $2 where id = $1", &[&workspace, &now()]).await;
    }

    /// The workspace is restored.
    pub async fn restore(&self, workspace: &str) {
        self.run("update workspace set archived_at = null, updated_at = $2 where id = $1", &[&workspace, &now()]).await;
    }

    /// The workspace is deleted. Its rows in `permissions` stay, as nothing refers to it.
    pub async fn delete_workspace(&self, workspace: &str) {
        self.run("delete from workspace where id = $1", &[&workspace]).await;
    }

    /// Gives the user `read`, `write` or `admin` in the workspace instead of what there was.
    pub async fn permission(&self, user: &str, workspace: &str, permission: &str) {
        self.run(
            "insert into permissions (id, user_id, entity_type, entity_id, permission_type, created_at, updated_at)
             values ($1, $2, 'workspace', $3, $4::text::permission_type, $5, $5)
             on conflict (user_id, entity_type, entity_id)
             do update set permission_type = excluded.permission_type, updated_at = excluded.updated_at",
            &[&uuid(), &user, &workspace, &permission, &now()],
        )
        .await;
    }

    /// Takes the user's explicit permission in the workspace away.
    pub async fn revoke_permission(&self, user: &str, workspace: &str) {
        self.run(
            "delete from permissions where user_id = $1 and entity_type = 'workspace' and entity_id = $2",
            &[&user, &workspace],
        )
        .await;
    }

    /// The user makes an organization and owns it. Gives the id.
    pub async fn organization(&self, owner: &str) -> String {
        let id = alphanumeric();
        self.run(
            "insert into organization (id, name, slug, created_at, updated_at)
             values ($1, 'Organization of ' || $2, 'org-' || $1, $3, $3)",
            &[&id, &owner, &now()],
        )
        .await;
        self.member(owner, &id, "owner").await;
        id
    }

    /// The user joins the organization as `owner`, `admin` or `member`. Nobody is in two.
    pub async fn member(&self, user: &str, organization: &str, role: &str) {
        self.run(
            "insert into member (id, user_id, organization_id, role, created_at)
             values ($1, $2, $3, $4, $5)
             on conflict (user_id)
             do update set organization_id = excluded.organization_id, role = excluded.role",
            &[&uuid(), &user, &organization, &role, &now()],
        )
        .await;
    }

    /// The user leaves the organization.
    pub async fn remove_member(&self, user: &str, organization: &str) {
        self.run("delete from member where user_id = $1 and organization_id = $2", &[&user, &organization]).await;
    }

    /// The workspace becomes the organization's.
    pub async fn assign(&self, workspace: &str, organization: &str) {
        self.run(
            "update workspace set organization_id = $2, workspace_mode = 'organization',
                    organization_assigned_at = $3, updated_at = $3 where id = $1",
            &[&workspace, &organization, &now()],
        )
        .await;
    }

    /// The user signs in. Gives the raw token.
    pub async fn session(&self, user: &str) -> String {
        self.session_for(user, SESSION).await
    }

    /// The same with a session that ends `ttl` from now; a negative one has ended.
    pub async fn session_for(&self, user: &str, ttl: TimeDelta) -> String {
        let (token, now) = (alphanumeric(), now());
        self.run(
            "insert into session (id, expires_at, token, created_at, updated_at, ip_address, user_agent, user_id)
             values ($1, $2, $3, $4, $4, '203.0.113.7', 'a test', $5)",
            &[&alphanumeric(), &(now + ttl), &token, &now, &user],
        )
        .await;
        token
    }

    /// The session goes on in an organization; only shown to the user, it decides nothing.
    pub async fn activate_organization(&self, token: &str, organization: &str) {
        self.run(
            "update session set active_organization_id = $2, updated_at = $3 where token = $1",
            &[&token, &organization, &now()],
        )
        .await;
    }

    /// The session's end moves to `ttl` from now.
    pub async fn expire(&self, token: &str, ttl: TimeDelta) {
        self.run(
            "update session set expires_at = $2, updated_at = $3 where token = $1",
            &[&token, &(now() + ttl), &now()],
        )
        .await;
    }

    /// The user signs out.
    pub async fn sign_out(&self, token: &str) {
        self.run("delete from session where token = $1", &[&token]).await;
    }

    /// The connection as the role `sim`, which owns Sim's tables, for what has no word here.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn run(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) {
        self.client.execute(sql, params).await.expect(sql);
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").finish_non_exhaustive()
    }
}

/// The token as Better Auth signs it, `token.signature`.
///
/// # Panics
/// Never: HMAC takes a key of any length.
#[must_use]
pub fn signed(token: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    mac.update(token.as_bytes());
    format!("{token}.{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The value of the session cookie: the signed token, percent-encoded.
#[must_use]
pub fn signed_cookie(token: &str, secret: &str) -> String {
    let signed = signed(token, secret);
    let (token, signature) = signed.split_at(token.len());
    // As JavaScript's encodeURIComponent: the dot stays.
    format!("{token}.{}", utf8_percent_encode(&signature[1..], NON_ALPHANUMERIC))
}

fn now() -> NaiveDateTime {
    Utc::now().naive_utc()
}

/// 32 letters and digits: ids and tokens that Better Auth makes.
fn alphanumeric() -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(32).map(char::from).collect()
}

/// A `UUIDv4`: ids that Sim itself makes.
fn uuid() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
