//! The statement against Sim's rule, written down a second time from its text, over random worlds.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, stream};
use parlant_auth_bridge::{AuthBridge, Config, Credential, Permission, Source as _, Verdict};
use parlant_test_support::database;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::database::source;

const USERS: usize = 250;
const ORGANIZATIONS: usize = 20;
const WORKSPACES: usize = 200;
const PERMISSIONS: usize = 1000;
const SESSIONS: usize = 400;

struct User {
    banned: Option<bool>,
    ban_expires: Option<NaiveDateTime>,
    /// Organization and role.
    member: Option<(usize, &'static str)>,
}

struct Workspace {
    owner: usize,
    organization: Option<usize>,
    archived: bool,
    /// Whether there is a row, and not only permissions that remember one.
    exists: bool,
}

struct Session {
    user: usize,
    expires_at: NaiveDateTime,
}

/// Sim's tables, as plain values.
struct World {
    users: Vec<User>,
    workspaces: Vec<Workspace>,
    /// By user, entity type and workspace, which is unique.
    permissions: BTreeMap<(usize, &'static str, usize), &'static str>,
    sessions: Vec<Session>,
    now: NaiveDateTime,
}

impl World {
    fn random(random: &mut StdRng) -> Self {
        let now = Utc::now().naive_utc();
        // Never so near to now that the time the test takes matters.
        let moment = |random: &mut StdRng| {
            // Often nearer than any time zone is wide.
            let minutes = if random.random() { 10..600 } else { 600..100_000 };
            let away = TimeDelta::minutes(random.random_range(minutes));
            if random.random() { now + away } else { now - away }
        };
        let users = (0..USERS)
            .map(|_| User {
                banned: *[None, Some(false), Some(false), Some(true)].choose(random).unwrap(),
                ban_expires: random.random_bool(0.5).then(|| moment(random)),
                member: random.random_bool(0.6).then(|| {
                    let role = *["owner", "admin", "member", "member", "guest"].choose(random).unwrap();
                    (random.random_range(0..ORGANIZATIONS), role)
                }),
            })
            .collect();
        let workspaces = (0..WORKSPACES)
            .map(|_| Workspace {
                owner: random.random_range(0..USERS),
                organization: random.random_bool(0.6).then(|| random.random_range(0..ORGANIZATIONS)),
                archived: random.random_bool(0.25),
                exists: random.random_bool(0.9),
            })
            .collect();
        let permissions = (0..PERMISSIONS)
            .map(|_| {
                let kind = *["workspace", "workspace", "workspace", "workflow"].choose(random).unwrap();
                let key = (random.random_range(0..USERS), kind, random.random_range(0..WORKSPACES));
                (key, *["read", "write", "admin"].choose(random).unwrap())
            })
            .collect();
        let sessions = (0..SESSIONS)
            .map(|_| Session { user: random.random_range(0..USERS), expires_at: moment(random) })
            .collect();
        Self { users, workspaces, permissions, sessions, now }
    }

    /// As statements, in the order that foreign keys want.
    fn sql(&self) -> String {
        let organizations = (0..ORGANIZATIONS).map(|n| format!("'o{n}', 'O', 'o'"));
        let users = self.users.iter().enumerate().map(|(n, user)| {
            let banned = or_null(user.banned);
            let ban_expires = or_null(user.ban_expires.map(quoted));
            format!("'u{n}', 'N', 'u{n}', {banned}, {ban_expires}, true, now(), now()")
        });
        let members = self.users.iter().enumerate().filter_map(|(n, user)| {
            let (organization, role) = user.member?;
            Some(format!("'m{n}', 'u{n}', 'o{organization}', '{role}'"))
        });
        let existing = self.workspaces.iter().enumerate().filter(|(_, workspace)| workspace.exists);
        let workspaces = existing.map(|(n, workspace)| {
            let owner = workspace.owner;
            let organization = or_null(workspace.organization.map(|n| format!("'o{n}'")));
            let archived_at = or_null(workspace.archived.then_some("now()"));
            format!("'w{n}', 'W{n}', 'u{owner}', 'u{owner}', {organization}, {archived_at}")
        });
        let permissions = self.permissions.iter().enumerate().map(|(n, ((user, kind, workspace), permission))| {
            format!("'p{n}', 'u{user}', '{kind}', 'w{workspace}', '{permission}'")
        });
        let sessions = self.sessions.iter().enumerate().map(|(n, session)| {
            let (user, expires_at) = (session.user, quoted(session.expires_at));
            format!("'s{n}', 't{n}', 'u{user}', {expires_at}, now(), now()")
        });
        [
            insert("organization (id, name, slug)", organizations),
            insert("\"user\" (id, name, email, banned, ban_expires, email_verified, created_at, updated_at)", users),
            insert("member (id, user_id, organization_id, role)", members),
            insert("workspace (id, name, owner_id, billed_account_user_id, organization_id, archived_at)", workspaces),
            insert("permissions (id, user_id, entity_type, entity_id, permission_type)", permissions),
            insert("session (id, token, user_id, expires_at, created_at, updated_at)", sessions),
        ]
        .concat()
    }

    /// The rule: what this session should be told.
    fn expected(&self, session: &Session) -> Result<BTreeMap<String, Permission>, &'static str> {
        if session.expires_at <= self.now {
            return Err("expired");
        }
        let user = &self.users[session.user];
        let lifted = matches!(user.ban_expires, Some(end) if end <= self.now);
        if user.banned == Some(true) && !lifted {
            return Err("banned");
        }
        let mut granted = BTreeMap::new();
        for (n, workspace) in self.workspaces.iter().enumerate() {
            // 1. It must exist and not be archived.
            if !workspace.exists || workspace.archived {
                continue;
            }
            // 2. What the row says. 3. What the organization makes of it.
            let explicit = self.permissions.get(&(session.user, "workspace", n)).copied();
            let derived = match (workspace.organization, user.member) {
                (Some(own), Some((organization, "owner" | "admin"))) => own == organization,
                _ => false,
            };
            let name = if derived { Some("admin") } else { explicit };
            if let Some(permission) = name.and_then(Permission::from_name) {
                granted.insert(format!("w{n}"), permission);
            }
        }
        Ok(granted)
    }
}

fn insert(table: &str, rows: impl Iterator<Item = String>) -> String {
    let rows: Vec<_> = rows.collect();
    format!("insert into {table} values ({});\n", rows.join("), ("))
}

fn quoted(moment: NaiveDateTime) -> String {
    format!("'{moment}'")
}

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

#[tokio::test]
async fn the_statement_says_what_the_rule_says() {
    let world_number: u64 = rand::random();
    let world = World::random(&mut StdRng::seed_from_u64(world_number));
    let database = database().await;
    let superuser = database.superuser().await;
    let name = database.name();
    superuser.batch_execute(&format!("alter database \"{name}\" set timezone = 'Asia/Kathmandu'")).await.unwrap();
    superuser.batch_execute(&world.sql()).await.unwrap();
    let config = Config { caching: false, ..Config::default() };
    let bridge = AuthBridge::new(&config, Arc::new(source(database.url()))).unwrap();

    let verdicts: Vec<_> = stream::iter(0..SESSIONS)
        .map(|n| {
            let bridge = &bridge;
            async move { bridge.authenticate(&Credential::from_bearer(&format!("t{n}"))).await }
        })
        .buffered(4)
        .collect()
        .await;
    // What is asked of many at once says the same as what is asked of each.
    let source = source(database.url());
    let recheck = source.recheck().unwrap();
    let ids: Vec<_> = (0..SESSIONS).map(|n| format!("s{n}")).chain(["gone".to_owned()]).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut found = recheck.sessions(&ids).await.unwrap();
    let user_ids: Vec<_> = (0..USERS).map(|n| format!("u{n}")).collect();
    let user_ids: Vec<_> = user_ids.iter().map(String::as_str).collect();
    let people = recheck.users(&user_ids).await.unwrap();
    assert_eq!((found.len(), people.len()), (SESSIONS, USERS));
    for (n, verdict) in verdicts.iter().enumerate() {
        match (found.remove(&format!("s{n}")).unwrap(), verdict) {
            (Ok(found), Verdict::Valid(identity)) => {
                assert_eq!(found, **identity, "world {world_number}, session {n}");
                let person = people[&identity.user.id].as_ref().unwrap();
                assert_eq!((&person.user, &person.workspaces), (&found.user, &found.workspaces));
            }
            (Err(found), Verdict::Invalid(reason)) => assert_eq!(found, *reason, "world {world_number}, session {n}"),
            (found, verdict) => panic!("world {world_number}, session {n}: {found:?} and {verdict:?}"),
        }
    }
    let mut valid = 0;
    for (n, verdict) in verdicts.into_iter().enumerate() {
        let session = &world.sessions[n];
        let seen = match &verdict {
            Verdict::Valid(identity) => {
                assert_eq!(identity.user.id, format!("u{}", session.user), "world {world_number}");
                valid += identity.workspaces.len();
                let listed = identity.workspaces.iter().map(|w| (w.id.clone(), w.permission));
                let seen: BTreeMap<_, _> = listed.collect();
                assert_eq!(seen.len(), identity.workspaces.len(), "world {world_number}, session {n}: listed twice");
                Ok(seen)
            }
            Verdict::Invalid(reason) => Err(reason.as_str()),
            Verdict::Unknown(cause) => panic!("{cause}"),
        };
        assert_eq!(seen, world.expected(session), "world {world_number}, session {n}");
    }
    assert!(valid > 100, "world {world_number}: a world with {valid} permissions proves little");
}
