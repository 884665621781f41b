//! Sim's rules, each against real tables, read as the role that the server runs as.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use parlant_auth_bridge::{AuthBridge, Config, Credential, DatabaseSource, Identity, Permission, Source as _, Verdict};
use parlant_db_pool::Pool;
use parlant_test_support::{ChaosProxy, Sim, SimTables, TestDatabase, database, signed, signed_cookie};
use secrecy::SecretString;

use crate::memory::{SECRET, present, word};

pub(crate) fn source(url: String) -> DatabaseSource {
    DatabaseSource::new(SimTables(Pool::new(&parlant_db_pool::Config::new(url)).unwrap()))
}

fn uncached(url: String) -> AuthBridge {
    AuthBridge::new(&Config { caching: false, ..Config::default() }, Arc::new(source(url))).unwrap()
}

struct World {
    database: TestDatabase,
    sim: Sim,
    bridge: AuthBridge,
    user: String,
    token: String,
}

/// A user with a session and nothing else.
async fn world() -> World {
    let database = database().await;
    let sim = database.sim().await;
    let user = sim.user("Ada").await;
    let token = sim.session(&user).await;
    let bridge = uncached(database.url());
    World { database, sim, bridge, user, token }
}

impl World {
    async fn verdict(&self) -> &'static str {
        present(&self.bridge, &self.token).await
    }

    async fn identity(&self) -> Arc<Identity> {
        match self.bridge.authenticate(&Credential::from_bearer(&self.token)).await {
            Verdict::Valid(identity) => identity,
            other => panic!("{other:?}"),
        }
    }

    async fn permission(&self, workspace: &str) -> Option<Permission> {
        self.identity().await.permission(workspace)
    }

    /// A workspace of somebody else.
    async fn foreign_workspace(&self) -> (String, String) {
        let owner = self.sim.user("Owner").await;
        (self.sim.workspace(&owner).await, owner)
    }

    async fn sql(&self, statement: &str) {
        self.sim.client().batch_execute(statement).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_is_its_users() {
    let world = world().await;
    let organization = world.sim.organization(&world.user).await;
    world.sim.activate_organization(&world.token, &organization).await;
    let identity = world.identity().await;
    assert_eq!(identity.user.id, world.user);
    assert_eq!(identity.user.name, "Ada");
    assert_eq!(identity.user.email, format!("{}@example.com", world.user));
    assert!(identity.user.email_verified && identity.user.image.is_none());
    assert_eq!(identity.session.active_organization_id, Some(organization));
    let left = identity.session.expires_at - Utc::now();
    assert!(left > TimeDelta::days(29) && left <= TimeDelta::days(30), "{left}");
    assert!(identity.workspaces.is_empty());
}

#[tokio::test]
async fn tokens_that_are_nobodys_are_refused() {
    let world = world().await;
    for token in [&world.token[1..], &world.token.to_uppercase(), "nobody"] {
        assert_eq!(present(&world.bridge, token).await, "unknown_session", "{token}");
    }
    world.sim.sign_out(&world.token).await;
    assert_eq!(world.verdict().await, "unknown_session");
}

#[tokio::test]
async fn a_deleted_user_has_no_session() {
    let world = world().await;
    world.sim.delete_user(&world.user).await;
    assert_eq!(world.verdict().await, "unknown_session");
}

#[tokio::test]
async fn every_carrier_leads_to_the_same_session() {
    let world = world().await;
    let secret = Some(SecretString::from(SECRET));
    let config = Config { better_auth_secret: secret, ..Config::default() };
    let bridge = AuthBridge::new(&config, Arc::new(source(world.database.url()))).unwrap();
    assert_eq!(present(&bridge, &world.token).await, "valid");
    assert_eq!(present(&bridge, &signed(&world.token, SECRET)).await, "valid");
    assert_eq!(present(&bridge, &signed(&world.token, &SECRET.replace('0', "1"))).await, "bad_signature");
    for name in ["better-auth.session_token", "__Secure-better-auth.session_token"] {
        let cookie = format!("{name}={}", signed_cookie(&world.token, SECRET));
        let credential = Credential::from_cookies([cookie.as_bytes()]).unwrap();
        assert_eq!(word(&bridge.authenticate(&credential).await), "valid", "{name}");
        let raw = format!("{name}={}", world.token);
        let credential = Credential::from_cookies([raw.as_bytes()]).unwrap();
        assert_eq!(word(&bridge.authenticate(&credential).await), "unsigned", "{name}");
    }
}

#[tokio::test]
async fn an_expired_session_is_refused_and_a_prolonged_one_taken() {
    let world = world().await;
    world.sim.expire(&world.token, TimeDelta::seconds(-1)).await;
    assert_eq!(world.verdict().await, "expired");
    world.sim.expire(&world.token, TimeDelta::minutes(1)).await;
    assert_eq!(world.verdict().await, "valid");
}

#[tokio::test]
async fn the_databases_time_zone_changes_nothing() {
    for zone in ["Asia/Tokyo", "America/Los_Angeles", "UTC"] {
        let world = world().await;
        let name = world.database.name();
        let superuser = world.database.superuser().await;
        superuser.batch_execute(&format!("alter database \"{name}\" set timezone = '{zone}'")).await.unwrap();
        let bridge = uncached(world.database.url());
        world.sim.expire(&world.token, TimeDelta::minutes(1)).await;
        let verdict = bridge.authenticate(&Credential::from_bearer(&world.token)).await;
        let Verdict::Valid(identity) = verdict else { panic!("{zone}: {verdict:?}") };
        assert!(identity.session.expires_at - Utc::now() <= TimeDelta::minutes(1), "{zone}");
        world.sim.expire(&world.token, TimeDelta::minutes(-1)).await;
        assert_eq!(present(&bridge, &world.token).await, "expired", "{zone}");
        world.sim.expire(&world.token, TimeDelta::days(1)).await;
        world.sim.ban(&world.user, Some(TimeDelta::minutes(1))).await;
        assert_eq!(present(&bridge, &world.token).await, "banned", "{zone}");
        world.sim.ban(&world.user, Some(TimeDelta::minutes(-1))).await;
        assert_eq!(present(&bridge, &world.token).await, "valid", "{zone}");
    }
}

#[tokio::test]
async fn a_ban_counts_until_its_end_and_without_one_for_ever() {
    let world = world().await;
    for (expires, expected) in
        [(None, "banned"), (Some(TimeDelta::hours(1)), "banned"), (Some(TimeDelta::hours(-1)), "valid")]
    {
        world.sim.ban(&world.user, expires).await;
        assert_eq!(world.verdict().await, expected, "{expires:?}");
    }
    world.sim.ban(&world.user, None).await;
    world.sim.unban(&world.user).await;
    assert_eq!(world.verdict().await, "valid");
    world.sql("update \"user\" set banned = null").await;
    assert_eq!(world.verdict().await, "valid", "banned may be null");
    world.sql("update \"user\" set banned = null, ban_expires = 'infinity'").await;
    assert_eq!(world.verdict().await, "valid", "an end without a ban is none");
    world.sql("update \"user\" set banned = true, ban_expires = 'infinity'").await;
    assert_eq!(world.verdict().await, "banned");
}

#[tokio::test]
async fn who_impersonates_is_known_and_changes_nothing() {
    let world = world().await;
    world.sql("update session set impersonated_by = 'administrator'").await;
    let identity = world.identity().await;
    assert_eq!(identity.user.id, world.user);
    assert_eq!(identity.session.impersonated_by.as_deref(), Some("administrator"));
}

#[tokio::test]
async fn an_explicit_permission_is_what_it_says() {
    let world = world().await;
    let (workspace, _) = world.foreign_workspace().await;
    assert_eq!(world.permission(&workspace).await, None);
    for (name, permission) in [("read", Permission::Read), ("write", Permission::Write), ("admin", Permission::Admin)] {
        world.sim.permission(&world.user, &workspace, name).await;
        assert_eq!(world.permission(&workspace).await, Some(permission));
    }
    world.sim.revoke_permission(&world.user, &workspace).await;
    assert_eq!(world.permission(&workspace).await, None);
}

#[tokio::test]
async fn an_archived_workspace_does_not_exist() {
    let world = world().await;
    let workspace = world.sim.workspace(&world.user).await;
    let organization = world.sim.organization(&world.user).await;
    world.sim.assign(&workspace, &organization).await;
    assert_eq!(world.permission(&workspace).await, Some(Permission::Admin));
    world.sim.archive(&workspace).await;
    assert!(world.identity().await.workspaces.is_empty());
    world.sim.restore(&workspace).await;
    assert_eq!(world.permission(&workspace).await, Some(Permission::Admin));
}

#[tokio::test]
async fn a_permission_outlives_its_workspace_and_grants_nothing() {
    let world = world().await;
    let workspace = world.sim.workspace(&world.user).await;
    world.sim.delete_workspace(&workspace).await;
    assert!(world.identity().await.workspaces.is_empty());
}

#[tokio::test]
async fn a_permission_on_something_else_grants_nothing() {
    let world = world().await;
    let (workspace, _) = world.foreign_workspace().await;
    world.sim.permission(&world.user, &workspace, "admin").await;
    world.sql("update permissions set entity_type = 'workflow'").await;
    assert!(world.identity().await.workspaces.is_empty());
}

#[tokio::test]
async fn owners_and_admins_of_the_organization_are_admins_of_its_workspaces() {
    let world = world().await;
    let (workspace, owner) = world.foreign_workspace().await;
    let organization = world.sim.organization(&owner).await;
    world.sim.assign(&workspace, &organization).await;
    for explicit in [None, Some("read"), Some("write")] {
        if let Some(permission) = explicit {
            world.sim.permission(&world.user, &workspace, permission).await;
        }
        for role in ["owner", "admin"] {
            world.sim.member(&world.user, &organization, role).await;
            assert_eq!(world.permission(&workspace).await, Some(Permission::Admin), "{role} with {explicit:?}");
            assert_eq!(world.identity().await.workspaces.len(), 1, "one workspace is listed once");
        }
        for role in ["member", "Admin", "billing", ""] {
            world.sim.member(&world.user, &organization, role).await;
            let expected = explicit.and_then(Permission::from_name);
            assert_eq!(world.permission(&workspace).await, expected, "{role:?} with {explicit:?}");
        }
        world.sim.remove_member(&world.user, &organization).await;
    }
}

#[tokio::test]
async fn another_organizations_role_is_worth_nothing() {
    let world = world().await;
    let (workspace, owner) = world.foreign_workspace().await;
    let organization = world.sim.organization(&owner).await;
    world.sim.assign(&workspace, &organization).await;
    let own = world.sim.organization(&world.user).await;
    world.sim.activate_organization(&world.token, &organization).await;
    assert_eq!(world.permission(&workspace).await, None);
    world.sim.assign(&workspace, &own).await;
    assert_eq!(world.permission(&workspace).await, Some(Permission::Admin));
}

#[tokio::test]
async fn ownership_and_the_platform_role_are_worth_nothing() {
    let world = world().await;
    let workspace = world.sim.workspace(&world.user).await;
    world.sim.revoke_permission(&world.user, &workspace).await;
    world.sql("update \"user\" set role = 'admin'").await;
    assert!(world.identity().await.workspaces.is_empty());
}

#[tokio::test]
async fn workspaces_come_by_name() {
    let world = world().await;
    for name in ["b", "a", "c"] {
        let workspace = world.sim.workspace(&world.user).await;
        world.sql(&format!("update workspace set name = '{name}' where id = '{workspace}'")).await;
    }
    let identity = world.identity().await;
    let names: Vec<_> = identity.workspaces.iter().map(|workspace| workspace.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_user_is_found_by_id_unless_banned() {
    let world = world().await;
    let workspace = world.sim.workspace(&world.user).await;
    let source = source(world.database.url());
    let users = source.users().unwrap();
    let person = users.user(&world.user).await.unwrap();
    assert_eq!(person.user.id, world.user);
    assert_eq!((person.workspaces.len(), person.workspaces[0].id.as_str()), (1, workspace.as_str()));
    let refusal = |user: String| async move { format!("{:?}", users.user(&user).await.unwrap_err()) };
    assert_eq!(refusal("nobody".to_owned()).await, "Invalid(UnknownUser)");
    assert_eq!(refusal(world.token.clone()).await, "Invalid(UnknownUser)");
    world.sim.ban(&world.user, None).await;
    assert_eq!(refusal(world.user.clone()).await, "Invalid(Banned)");
}

#[tokio::test]
async fn a_database_out_of_reach_is_an_outage_and_its_return_is_noticed() {
    let world = world().await;
    let proxy = ChaosProxy::start(world.database.address()).await;
    let mut config = parlant_db_pool::Config::new(world.database.url_through(proxy.address()));
    config.command_timeout = Duration::from_secs(1);
    config.connection_timeout = Duration::from_secs(1);
    config.pool_timeout = Duration::from_secs(1);
    let source = Arc::new(DatabaseSource::new(SimTables(Pool::new(&config).unwrap())));
    let bridge = AuthBridge::new(&Config::default(), source).unwrap();
    let others = world.sim.session(&world.user).await;
    assert_eq!(present(&bridge, &world.token).await, "valid");

    proxy.refuse().await;
    proxy.cut();
    assert_eq!(present(&bridge, &others).await, "unknown");
    assert_eq!(present(&bridge, &world.token).await, "valid", "what is cached is served");
    proxy.restore().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while present(&bridge, &others).await != "valid" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    proxy.hang();
    let start = Instant::now();
    let third = world.sim.session(&world.user).await;
    assert_eq!(present(&bridge, &third).await, "unknown");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn missing_tables_are_an_outage_and_not_an_empty_list() {
    let world = world().await;
    let superuser = world.database.superuser().await;
    superuser.batch_execute("alter table member rename to gone").await.unwrap();
    let Verdict::Unknown(cause) = world.bridge.authenticate(&Credential::from_bearer(&world.token)).await else {
        panic!("a table is missing")
    };
    assert!(cause.to_string().contains("member"), "the log says which: {cause}");
    superuser
        .batch_execute("alter table gone rename to member; revoke select on workspace from public, parlant_app")
        .await
        .unwrap();
    assert_eq!(world.verdict().await, "unknown");
}
