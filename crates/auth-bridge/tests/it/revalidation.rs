//! What ends in Sim's tables ends here within two seconds, with the settings that the server starts with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::future::{BoxFuture, join_all};
use metrics_exporter_prometheus::PrometheusBuilder;
use parlant_auth_bridge::{Answer, AuthBridge, Config, Credential, Session, Subject, Verdict, Verifier};
use parlant_db_pool::Pool;
use parlant_test_support::{Sim, TestDatabase, database};

use crate::database::source;
use crate::memory::{in_an_hour, word};

const BOUND: Duration = Duration::from_secs(2);

/// Admits whatever has the form of a JWT, as one user.
struct Anything(String);

impl Verifier for Anything {
    fn verify<'a>(&'a self, _: &'a str) -> Answer<'a, Subject> {
        let (id, expires_at) = ("jwt-1".to_owned(), in_an_hour());
        let session = Session { id, expires_at, active_organization_id: None, impersonated_by: None };
        Box::pin(async { Ok(Subject { user_id: self.0.clone(), session }) })
    }
}

struct Place {
    sim: Sim,
    user: String,
    token: String,
    workspace: String,
    organization: String,
    /// A session, and the same user by JWT.
    bridges: [(AuthBridge, Credential); 2],
}

/// Somebody who may write in a workspace of an organization that is somebody else's.
async fn place(database: &TestDatabase) -> Place {
    let sim = database.sim().await;
    let (user, owner) = (sim.user("Ada").await, sim.user("Owner").await);
    let workspace = sim.workspace(&owner).await;
    let organization = sim.organization(&owner).await;
    sim.assign(&workspace, &organization).await;
    sim.permission(&user, &workspace, "write").await;
    sim.member(&user, &organization, "member").await;
    let token = sim.session(&user).await;
    let source = || Arc::new(source(database.url()));
    let config = Config::default();
    let jwt = AuthBridge::with_jwt(&config, source(), Arc::new(Anything(user.clone()))).unwrap();
    let bridges = [
        (AuthBridge::new(&config, source()).unwrap(), Credential::from_bearer(&token)),
        (jwt, Credential::from_bearer("a.b.c")),
    ];
    Place { sim, user, token, workspace, organization, bridges }
}

/// What a request is told: the permission in the workspace, or why not.
async fn told(bridge: &AuthBridge, credential: &Credential, workspace: &str) -> String {
    match bridge.authenticate(credential).await {
        Verdict::Valid(identity) => {
            identity.permission(workspace).map_or_else(|| "none".to_owned(), |permission| permission.to_string())
        }
        other => word(&other).to_owned(),
    }
}

impl Place {
    async fn told(&self, which: usize) -> String {
        let (bridge, credential) = &self.bridges[which];
        told(bridge, credential, &self.workspace).await
    }

    /// How long it takes until this is what a request is told.
    async fn until(&self, which: usize, expected: &str) -> Duration {
        let start = Instant::now();
        loop {
            let told = self.told(which).await;
            if told == expected {
                return start.elapsed();
            }
            assert!(start.elapsed() < Duration::from_secs(10), "still {told}, never {expected}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

type Change = for<'a> fn(&'a Place) -> BoxFuture<'a, ()>;

/// A change, and what the session and the JWT are told after it.
const CHANGES: &[(&str, Change, [&str; 2])] = &[
    ("a sign-out", |at| Box::pin(at.sim.sign_out(&at.token)), ["unknown_session", "write"]),
    ("an end brought forward", |at| Box::pin(at.sim.expire(&at.token, TimeDelta::zero())), ["expired", "write"]),
    ("a ban", |at| Box::pin(at.sim.ban(&at.user, None)), ["banned", "banned"]),
    ("a ban for a while", |at| Box::pin(at.sim.ban(&at.user, Some(TimeDelta::hours(1)))), ["banned", "banned"]),
    ("a deleted user", |at| Box::pin(at.sim.delete_user(&at.user)), ["unknown_session", "unknown_user"]),
    ("a permission taken away", |at| Box::pin(at.sim.revoke_permission(&at.user, &at.workspace)), ["none", "none"]),
    ("a lower permission", |at| Box::pin(at.sim.permission(&at.user, &at.workspace, "read")), ["read", "read"]),
    ("a higher permission", |at| Box::pin(at.sim.permission(&at.user, &at.workspace, "admin")), ["admin", "admin"]),
    ("an archived workspace", |at| Box::pin(at.sim.archive(&at.workspace)), ["none", "none"]),
    ("a deleted workspace", |at| Box::pin(at.sim.delete_workspace(&at.workspace)), ["none", "none"]),
    ("an organization's new admin", |at| Box::pin(at.sim.member(&at.user, &at.organization, "admin")), ["admin"; 2]),
];

#[tokio::test]
async fn every_change_is_seen_in_time_by_every_replica() {
    let database = database().await;
    join_all(CHANGES.iter().map(async |(what, change, expected)| {
        let place = place(&database).await;
        for which in 0..2 {
            assert_eq!(place.told(which).await, "write", "before {what}");
        }
        change(&place).await;
        let (session, jwt) = tokio::join!(place.until(0, expected[0]), place.until(1, expected[1]));
        assert!(session.max(jwt) < BOUND, "{what}: {session:?} and {jwt:?}");
    }))
    .await;
}

#[tokio::test]
async fn an_admin_of_the_organization_who_is_none_any_more_is_out_in_time() {
    let database = database().await;
    let place = place(&database).await;
    place.sim.revoke_permission(&place.user, &place.workspace).await;
    for (role, expected) in [("admin", "admin"), ("member", "none"), ("owner", "admin")] {
        place.sim.member(&place.user, &place.organization, role).await;
        let took = place.until(0, expected).await;
        assert!(took < BOUND, "{role}: {took:?}");
    }
    place.sim.remove_member(&place.user, &place.organization).await;
    let took = place.until(0, "none").await;
    assert!(took < BOUND, "{took:?}");
}

#[tokio::test]
async fn an_idle_session_that_ended_is_not_served_when_it_comes_back() {
    let database = database().await;
    let place = place(&database).await;
    assert_eq!(place.told(0).await, "write");
    place.sim.sign_out(&place.token).await;
    tokio::time::sleep(BOUND).await;
    assert_eq!(place.told(0).await, "unknown_session");
}

#[test]
fn a_thousand_sessions_are_one_statement_a_second() {
    const SESSIONS: usize = 1000;
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let database = database().await;
            let sim = database.sim().await;
            let user = sim.user("Ada").await;
            let insert = format!(
                "insert into session (id, token, user_id, expires_at, created_at, updated_at)
                 select 's' || n, 't' || n, '{user}', now() + interval '1 day', now(), now()
                 from generate_series(1, {SESSIONS}) n"
            );
            sim.client().batch_execute(&insert).await.unwrap();
            let pool = Pool::new(&parlant_db_pool::Config::new(database.url())).unwrap();
            let source = Arc::new(parlant_auth_bridge::DatabaseSource::new(parlant_test_support::SimTables(pool)));
            let bridge = AuthBridge::new(&Config::default(), source).unwrap();
            let everybody = || {
                join_all((1..=SESSIONS).map(|n| {
                    let credential = Credential::from_bearer(&format!("t{n}"));
                    let bridge = bridge.clone();
                    async move { word(&bridge.authenticate(&credential).await) }
                }))
            };
            assert!(everybody().await.iter().all(|verdict| *verdict == "valid"));
            tokio::time::sleep(Duration::from_secs(4)).await;
            assert!(everybody().await.iter().all(|verdict| *verdict == "valid"));
        });
    });
    let rendered = handle.render();
    let count = |query: &str| -> usize {
        let prefix = format!("parlant_database_query_duration_seconds_count{{query=\"{query}\"}} ");
        rendered.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().parse().unwrap()
    };
    let (rounds, look_ups) = (count("sessions_by_id"), count("session_by_token"));
    assert!((3..=10).contains(&rounds), "{rounds}");
    assert!(look_ups < 2 * SESSIONS, "{look_ups}: some were believed without a look-up of their own");
}
