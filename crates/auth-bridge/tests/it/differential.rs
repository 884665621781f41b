//! The statements against Sim's rules, written down a second time from their text, over random worlds.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, stream};
use parlant_auth_bridge::{
    AuthBridge, Config, Credential, Found, Identity, Permission, Person, Reason, Refusal, Session, Source as _, User,
    Verdict, Workspace,
};
use parlant_test_support::database;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::database::source;

const USERS: usize = 600;
const ORGANIZATIONS: usize = 4;
const WORKSPACES: usize = 500;
const PERMISSIONS: usize = 4000;
const SESSIONS: usize = 2000;

struct UserRow {
    name: String,
    email_verified: bool,
    image: Option<String>,
    /// On the platform, which is none in a workspace.
    role: Option<&'static str>,
    banned: Option<bool>,
    ban_expires: Option<NaiveDateTime>,
    /// Organization and role there.
    member: Option<(usize, &'static str)>,
}

struct WorkspaceRow {
    name: String,
    owner: usize,
    organization: Option<usize>,
    archived_at: Option<NaiveDateTime>,
    /// Whether there is a row, and not only permissions that remember one.
    exists: bool,
}

struct SessionRow {
    user: usize,
    expires_at: NaiveDateTime,
    active_organization: Option<usize>,
    impersonated_by: Option<usize>,
}

/// Sim's tables, as plain values.
struct World {
    users: Vec<UserRow>,
    workspaces: Vec<WorkspaceRow>,
    /// By user, entity type and workspace, which is unique.
    permissions: BTreeMap<(usize, &'static str, usize), &'static str>,
    sessions: Vec<SessionRow>,
    now: NaiveDateTime,
}

/// What users should be told, by id.
type People = BTreeMap<String, Result<Person, Reason>>;

/// How often each rule decided. A world in which one never does proves nothing about it.
type Decisions = BTreeMap<&'static str, usize>;

impl World {
    fn random(random: &mut StdRng) -> Self {
        let now = Utc::now().naive_utc();
        // Never so near to now that the time the test takes matters; PostgreSQL keeps microseconds.
        let moment = |random: &mut StdRng| {
            // Often nearer than any time zone is wide.
            let minutes = if random.random() { 10..600 } else { 600..100_000 };
            let away = TimeDelta::minutes(random.random_range(minutes));
            let moment = if random.random() { now + away } else { now - away };
            moment.and_utc().timestamp_micros()
        };
        let moment = |random: &mut StdRng| chrono::DateTime::from_timestamp_micros(moment(random)).unwrap().naive_utc();
        let name =
            |random: &mut StdRng| (*["Ada", "Bob", "ada", "Zoë", "'); --", "\"x\""].choose(random).unwrap()).to_owned();
        let users = (0..USERS)
            .map(|_| UserRow {
                name: name(random),
                email_verified: random.random(),
                image: random.random_bool(0.5).then(|| name(random)),
                role: *[None, Some("user"), Some("user"), Some("admin")].choose(random).unwrap(),
                banned: *[None, Some(false), Some(false), Some(true)].choose(random).unwrap(),
                ban_expires: random.random_bool(0.5).then(|| moment(random)),
                member: random.random_bool(0.7).then(|| {
                    let roles = ["owner", "admin", "member", "member", "guest", "Admin", "admin,member", ""];
                    (random.random_range(0..ORGANIZATIONS), *roles.choose(random).unwrap())
                }),
            })
            .collect();
        let workspaces = (0..WORKSPACES)
            .map(|_| WorkspaceRow {
                name: name(random),
                owner: random.random_range(0..USERS),
                organization: random.random_bool(0.6).then(|| random.random_range(0..ORGANIZATIONS)),
                archived_at: random.random_bool(0.25).then(|| moment(random)),
                exists: random.random_bool(0.9),
            })
            .collect();
        let permissions = (0..PERMISSIONS)
            .map(|_| {
                let kind = *["workspace", "workspace", "workspace", "workflow", "organization"].choose(random).unwrap();
                let key = (random.random_range(0..USERS), kind, random.random_range(0..WORKSPACES));
                (key, *["read", "write", "admin"].choose(random).unwrap())
            })
            .collect();
        let sessions = (0..SESSIONS)
            .map(|_| SessionRow {
                user: random.random_range(0..USERS),
                expires_at: moment(random),
                active_organization: random.random_bool(0.5).then(|| random.random_range(0..ORGANIZATIONS)),
                impersonated_by: random.random_bool(0.2).then(|| random.random_range(0..USERS)),
            })
            .collect();
        Self { users, workspaces, permissions, sessions, now }
    }

    /// As statements, in the order that foreign keys want.
    fn sql(&self) -> String {
        let organizations = (0..ORGANIZATIONS).map(|n| format!("'o{n}', 'O', 'o'"));
        let users = self.users.iter().enumerate().map(|(n, user)| {
            let UserRow { banned, email_verified, .. } = user;
            let (name, image) = (quoted(&user.name), or_null(user.image.as_ref().map(quoted)));
            let (banned, ban_expires) = (or_null(*banned), or_null(user.ban_expires.as_ref().map(quoted)));
            let role = or_null(user.role.map(quoted));
            format!(
                "'u{n}', {name}, 'u{n}@x', {email_verified}, {image}, {role}, {banned}, {ban_expires}, now(), now()"
            )
        });
        let members = self.users.iter().enumerate().filter_map(|(n, user)| {
            let (organization, role) = user.member?;
            Some(format!("'m{n}', 'u{n}', 'o{organization}', '{role}'"))
        });
        let existing = self.workspaces.iter().enumerate().filter(|(_, workspace)| workspace.exists);
        let workspaces = existing.map(|(n, workspace)| {
            let (name, owner) = (quoted(&workspace.name), workspace.owner);
            let organization = or_null(workspace.organization.map(|n| format!("'o{n}'")));
            let archived_at = or_null(workspace.archived_at.as_ref().map(quoted));
            format!("'w{n}', {name}, 'u{owner}', 'u{owner}', {organization}, {archived_at}")
        });
        let permissions = self.permissions.iter().enumerate().map(|(n, ((user, kind, workspace), permission))| {
            format!("'p{n}', 'u{user}', '{kind}', 'w{workspace}', '{permission}'")
        });
        let sessions = self.sessions.iter().enumerate().map(|(n, session)| {
            let (user, expires_at) = (session.user, quoted(&session.expires_at));
            let organization = or_null(session.active_organization.map(|n| format!("'o{n}'")));
            let impersonated_by = or_null(session.impersonated_by.map(|n| format!("'u{n}'")));
            format!("'s{n}', 't{n}', 'u{user}', {expires_at}, {organization}, {impersonated_by}, now(), now()")
        });
        [
            insert("organization (id, name, slug)", organizations),
            insert(
                "\"user\" (id, name, email, email_verified, image, role, banned, ban_expires, created_at, updated_at)",
                users,
            ),
            insert("member (id, user_id, organization_id, role)", members),
            insert("workspace (id, name, owner_id, billed_account_user_id, organization_id, archived_at)", workspaces),
            insert("permissions (id, user_id, entity_type, entity_id, permission_type)", permissions),
            insert(
                "session (id, token, user_id, expires_at, active_organization_id, impersonated_by, created_at,
                    updated_at)",
                sessions,
            ),
        ]
        .concat()
    }

    /// The rules: what this session should be told.
    fn session(&self, n: usize, people: &People, decisions: &mut Decisions) -> Result<Identity, Reason> {
        let session = &self.sessions[n];
        if session.expires_at <= self.now {
            *decisions.entry("expired").or_default() += 1;
            return Err(Reason::Expired);
        }
        let Person { user, workspaces } = people[&format!("u{}", session.user)].clone()?;
        if session.impersonated_by.is_some() {
            *decisions.entry("impersonated").or_default() += 1;
        }
        let session = Session {
            id: format!("s{n}"),
            expires_at: session.expires_at.and_utc(),
            active_organization_id: session.active_organization.map(|n| format!("o{n}")),
            impersonated_by: session.impersonated_by.map(|n| format!("u{n}")),
        };
        Ok(Identity { user, session, workspaces })
    }

    /// The rules: what this user should be told.
    fn person(&self, n: usize, decisions: &mut Decisions) -> Result<Person, Reason> {
        let mut decided = |by| *decisions.entry(by).or_default() += 1;
        let user = &self.users[n];
        match (user.banned, user.ban_expires) {
            (Some(true), None) => {
                decided("banned for ever");
                return Err(Reason::Banned);
            }
            (Some(true), Some(end)) if end > self.now => {
                decided("banned for now");
                return Err(Reason::Banned);
            }
            (Some(true), Some(_)) => decided("a ban is over"),
            (_, Some(_)) => decided("an end without a ban"),
            (_, None) => {}
        }
        let mut workspaces = Vec::new();
        for (id, workspace) in self.workspaces.iter().enumerate() {
            let explicit = self.permissions.get(&(n, "workspace", id)).copied();
            let role = user.member.filter(|(own, _)| workspace.organization == Some(*own)).map(|(_, role)| role);
            // 1. It must exist and not be archived.
            if !workspace.exists || workspace.archived_at.is_some() {
                match (explicit, role) {
                    (Some(_), _) if !workspace.exists => decided("gone"),
                    (Some(_), _) => decided("archived for those with a permission"),
                    (None, Some("owner" | "admin")) if workspace.exists => decided("archived for its organization"),
                    _ => {}
                }
                continue;
            }
            // 2. What the row says. 3. What the organization makes of it.
            let permission = match (explicit, role) {
                (Some("read" | "write"), Some("owner" | "admin")) => {
                    decided("the organization's admin over a permission");
                    Permission::Admin
                }
                (_, Some("owner" | "admin")) => {
                    decided("the organization's admin");
                    Permission::Admin
                }
                (Some("read"), _) => Permission::Read,
                (Some("write"), _) => Permission::Write,
                (Some("admin"), _) => Permission::Admin,
                (_, role) => {
                    match role {
                        Some("member") => decided("a member of the organization only"),
                        Some(_) => decided("a role of another name"),
                        None => {}
                    }
                    if workspace.owner == n {
                        decided("the owner without a permission");
                    }
                    if user.role == Some("admin") {
                        decided("the platform's admin without a permission");
                    }
                    if self.permissions.contains_key(&(n, "workflow", id)) {
                        decided("a permission for something else");
                    }
                    continue;
                }
            };
            decided(permission.as_str());
            workspaces.push(Workspace { id: format!("w{id}"), name: workspace.name.clone(), permission });
        }
        workspaces.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let UserRow { email_verified, .. } = *user;
        let (name, image) = (user.name.clone(), user.image.clone());
        let user = User { id: format!("u{n}"), email: format!("u{n}@x"), name, email_verified, image };
        Ok(Person { user, workspaces })
    }
}

fn insert(table: &str, rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<_> = rows.collect();
    format!("insert into {table} values ({});\n", rows.join("), ("))
}

fn quoted(value: &(impl ToString + ?Sized)) -> String {
    format!("'{}'", value.to_string().replace('\'', "''"))
}

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).chain(["gone".to_owned()]).collect()
}

fn told<T>(answer: Result<T, Refusal>) -> Result<T, Reason> {
    answer.map_err(|refusal| match refusal {
        Refusal::Invalid(reason) => reason,
        Refusal::Unknown(cause) => panic!("{cause}"),
    })
}

#[track_caller]
fn assert_found<T: PartialEq + std::fmt::Debug>(found: &Found<T>, expected: &BTreeMap<String, Result<T, Reason>>) {
    assert_eq!(found.len(), expected.len());
    for (id, expected) in expected {
        assert_eq!(found[id], *expected, "{id}");
    }
}

#[tokio::test]
async fn every_statement_says_what_the_rules_say() {
    let number: u64 = rand::random();
    println!("world {number}");
    let world = World::random(&mut StdRng::seed_from_u64(number));
    let database = database().await;
    let superuser = database.superuser().await;
    let name = database.name();
    superuser.batch_execute(&format!("alter database \"{name}\" set timezone = 'Asia/Kathmandu'")).await.unwrap();
    superuser.batch_execute(&world.sql()).await.unwrap();
    let mut decisions = Decisions::new();
    let people: People = (0..USERS).map(|n| (format!("u{n}"), world.person(n, &mut decisions))).collect();
    let session = |n| (format!("s{n}"), world.session(n, &people, &mut decisions));
    let sessions: BTreeMap<_, _> = (0..SESSIONS).map(session).collect();
    println!("{decisions:?}");
    assert_eq!(decisions.len(), 19, "every rule decides");
    assert!(decisions.values().all(|times| *times >= 5), "{decisions:?}");

    // Each by itself, as credentials come.
    let config = Config { caching: false, ..Config::default() };
    let bridge = AuthBridge::new(&config, Arc::new(source(database.url()))).unwrap();
    let bridge = &bridge;
    let judge = |token: String| async move { bridge.authenticate(&Credential::from_bearer(&token)).await };
    let verdicts: Vec<_> = stream::iter(names("t", SESSIONS)).map(judge).buffered(4).collect().await;
    for (n, verdict) in verdicts.into_iter().enumerate() {
        let seen = match verdict {
            Verdict::Valid(identity) => Ok(Arc::unwrap_or_clone(identity)),
            Verdict::Invalid(reason) => Err(reason),
            Verdict::Unknown(cause) => panic!("{cause}"),
        };
        let expected = sessions.get(&format!("s{n}")).cloned();
        assert_eq!(seen, expected.unwrap_or(Err(Reason::UnknownSession)), "session {n}");
    }
    let source = source(database.url());
    let users = source.users().unwrap();
    let ids = names("u", USERS);
    let answers: Vec<_> = stream::iter(&ids).map(|id| users.user(id)).buffered(4).collect().await;
    for (id, answer) in ids.iter().zip(answers) {
        assert_eq!(told(answer), people.get(id).cloned().unwrap_or(Err(Reason::UnknownUser)), "{id}");
    }

    // And many at once, as revalidation asks. Who is gone is not there.
    let recheck = source.recheck().unwrap();
    let (session_ids, user_ids) = (names("s", SESSIONS), names("u", USERS));
    let session_ids: Vec<_> = session_ids.iter().map(String::as_str).collect();
    let user_ids: Vec<_> = user_ids.iter().map(String::as_str).collect();
    assert_found(&told(recheck.sessions(&session_ids).await).unwrap(), &sessions);
    assert_found(&told(recheck.users(&user_ids).await).unwrap(), &people);
}
