//! Every source passes the suite that others run on theirs.

use std::sync::Mutex;

use parlant_auth_bridge::testing::{MemorySource, Store, accept, somebody};
use parlant_auth_bridge::{Answer, AuthBridge, Cause, Config, Identity, Reason, SessionToken, Source};

use crate::memory::present;

#[derive(Default)]
struct InMemory(MemorySource);

impl Store for InMemory {
    fn source(&self) -> &dyn Source {
        &self.0
    }

    async fn sign_in(&self, token: &str, identity: &Identity) {
        self.0.sign_in(token, identity.clone());
    }

    async fn sign_out(&self, token: &str) {
        self.0.sign_out(token);
    }

    async fn ban(&self, user_id: &str) {
        self.0.ban(user_id);
    }

    async fn set_down(&self, down: bool) {
        self.0.set_down(down);
    }
}

#[tokio::test]
async fn the_memory_is_accepted() {
    accept(&InMemory::default()).await;
}

#[tokio::test]
async fn the_memory_serves_a_bridge() {
    let source = std::sync::Arc::new(MemorySource::default());
    source.sign_in("t", somebody("ada"));
    let bridge = AuthBridge::new(&Config { caching: false, ..Config::default() }, source.clone()).unwrap();
    assert_eq!(present(&bridge, "t").await, "valid");
    source.ban("ada");
    assert_eq!(present(&bridge, "t").await, "banned");
}

/// What a source can do wrong.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    RefusesInAnOutage,
    Remembers,
    AdmitsTheBanned,
    AdmitsTheLate,
    IgnoresCase,
    LosesWorkspaces,
    RefusesForAnyReason,
}

/// The memory, but for one flaw.
struct Flawed {
    store: InMemory,
    flaw: Flaw,
    first: Mutex<Option<Identity>>,
    known: Mutex<Vec<(String, Identity)>>,
    down: Mutex<bool>,
}

impl Source for Flawed {
    fn label(&self) -> &'static str {
        "flawed"
    }

    fn session<'a>(&'a self, token: SessionToken<'a>) -> Answer<'a, Identity> {
        Box::pin(async move {
            let known = self.known.lock().unwrap().iter().rev().find(|(known, _)| known == token.token).cloned();
            let lower = token.token.to_lowercase();
            let asked = if matches!(self.flaw, Flaw::IgnoresCase) { &lower } else { token.token };
            let answer = self.store.0.session(SessionToken { token: asked, ..token }).await;
            match (self.flaw, answer) {
                (Flaw::RefusesInAnOutage, Err(_)) if *self.down.lock().unwrap() => Err(Reason::UnknownSession.into()),
                (Flaw::RefusesForAnyReason, Err(_)) => Err(Cause::new("no").into()),
                (Flaw::Remembers, Ok(identity)) if identity.user.id == "mover" => {
                    Ok(self.first.lock().unwrap().get_or_insert(identity).clone())
                }
                (Flaw::LosesWorkspaces, Ok(mut identity)) => {
                    identity.workspaces.pop();
                    Ok(identity)
                }
                (Flaw::AdmitsTheBanned, Err(_)) if token.token.ends_with("banned") => Ok(known.unwrap().1),
                (Flaw::AdmitsTheLate, Err(_)) if token.token.ends_with("late") => Ok(known.unwrap().1),
                (_, answer) => answer,
            }
        })
    }
}

impl Store for Flawed {
    fn source(&self) -> &dyn Source {
        self
    }

    async fn sign_in(&self, token: &str, identity: &Identity) {
        self.known.lock().unwrap().push((token.to_owned(), identity.clone()));
        self.store.sign_in(token, identity).await;
    }

    async fn sign_out(&self, token: &str) {
        self.store.sign_out(token).await;
    }

    async fn ban(&self, user_id: &str) {
        self.store.ban(user_id).await;
    }

    async fn set_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
        self.store.set_down(down).await;
    }
}

#[tokio::test]
async fn a_flawed_source_is_not_accepted() {
    for flaw in [
        Flaw::RefusesInAnOutage,
        Flaw::Remembers,
        Flaw::AdmitsTheBanned,
        Flaw::AdmitsTheLate,
        Flaw::IgnoresCase,
        Flaw::LosesWorkspaces,
        Flaw::RefusesForAnyReason,
    ] {
        let store = InMemory::default();
        let (first, known, down) = (Mutex::default(), Mutex::default(), Mutex::default());
        let flawed = Flawed { store, flaw, first, known, down };
        let judged = tokio::spawn(async move { accept(&flawed).await }).await;
        assert!(judged.is_err(), "{flaw:?} was accepted");
    }
}

#[cfg(feature = "postgres")]
mod database {
    use deadpool_postgres::{Manager, Pool};
    use parlant_auth_bridge::{Database, DatabaseSource};
    use parlant_test_support::{ChaosProxy, Sim, SimTables, TestDatabase, database};
    use tokio_postgres::NoTls;

    use super::{Identity, Source, Store, accept};

    struct Tables {
        source: DatabaseSource,
        sim: Sim,
        proxy: ChaosProxy,
        _database: TestDatabase,
    }

    impl Tables {
        async fn new<D: Database + 'static>(pool: impl FnOnce(String) -> D) -> Self {
            let database = database().await;
            let proxy = ChaosProxy::start(database.address()).await;
            let source = DatabaseSource::new(pool(database.url_through(proxy.address())));
            Self { source, sim: database.sim().await, proxy, _database: database }
        }
    }

    impl Store for Tables {
        fn source(&self) -> &dyn Source {
            &self.source
        }

        async fn sign_in(&self, token: &str, Identity { user, session, workspaces }: &Identity) {
            let sim = self.sim.client();
            sim.execute(
                "insert into \"user\" (id, name, email, email_verified, image, created_at, updated_at)
                 values ($1, $2, $3, $4, $5, now(), now()) on conflict do nothing",
                &[&user.id, &user.name, &user.email, &user.email_verified, &user.image],
            )
            .await
            .unwrap();
            sim.execute("delete from permissions where user_id = $1", &[&user.id]).await.unwrap();
            for workspace in workspaces {
                sim.execute(
                    "insert into workspace (id, name, owner_id, billed_account_user_id) values ($1, $2, $3, $3)
                     on conflict do nothing",
                    &[&workspace.id, &workspace.name, &user.id],
                )
                .await
                .unwrap();
                self.sim.permission(&user.id, &workspace.id, workspace.permission.as_str()).await;
            }
            sim.execute("delete from session where id = $1 or token = $2", &[&session.id, &token]).await.unwrap();
            sim.execute(
                "insert into session (id, token, user_id, expires_at, created_at, updated_at)
                 values ($1, $2, $3, $4, now(), now())",
                &[&session.id, &token, &user.id, &session.expires_at.naive_utc()],
            )
            .await
            .unwrap();
        }

        async fn sign_out(&self, token: &str) {
            self.sim.sign_out(token).await;
        }

        async fn ban(&self, user_id: &str) {
            self.sim.ban(user_id, None).await;
        }

        async fn set_down(&self, down: bool) {
            if down {
                self.proxy.refuse().await;
                self.proxy.cut();
            } else {
                self.proxy.restore().await;
            }
        }
    }

    /// As a stranger would make one.
    #[expect(clippy::needless_pass_by_value, reason = "as `Tables::new` wants it")]
    fn deadpool(url: String) -> Pool {
        let manager = Manager::new(url.parse().unwrap(), NoTls);
        Pool::builder(manager).max_size(4).build().unwrap()
    }

    #[tokio::test]
    async fn sims_tables_are_accepted_through_a_strangers_pool() {
        accept(&Tables::new(deadpool).await).await;
    }

    #[tokio::test]
    async fn sims_tables_are_accepted_through_the_pool_of_the_house() {
        let pool = |url| SimTables(parlant_db_pool::Pool::new(&parlant_db_pool::Config::new(url)).unwrap());
        accept(&Tables::new(pool).await).await;
    }

    #[tokio::test]
    async fn a_strangers_pool_survives_a_hanging_database() {
        let store = Tables::new(deadpool).await;
        let ada = super::somebody("ada");
        store.sign_in("ada", &ada).await;
        let ask = async || {
            let carrier = parlant_auth_bridge::Carrier::Bearer;
            let token = parlant_auth_bridge::SessionToken { token: "ada", signed: None, carrier, client: None };
            store.source.session(token).await
        };
        assert_eq!(ask().await.unwrap(), ada);
        store.proxy.hang();
        let start = std::time::Instant::now();
        assert!(matches!(ask().await, Err(parlant_auth_bridge::Refusal::Unknown(_))));
        assert!(start.elapsed() < std::time::Duration::from_secs(7), "{:?}", start.elapsed());
        store.proxy.cut();
        store.proxy.restore().await;
        assert_eq!(ask().await.unwrap(), ada, "what hung is not used again");
    }
}

#[cfg(feature = "http")]
mod http {
    use std::collections::{HashMap, HashSet};
    use std::sync::{Arc, Mutex};

    use parlant_auth_bridge::{HttpConfig, HttpSource};
    use parlant_test_support::signed_cookie;
    use serde_json::{Value, json};

    use super::{Identity, Source, Store, accept};
    use crate::web::{Reply, Request, Web};

    #[derive(Default)]
    struct Known {
        sessions: HashMap<String, Identity>,
        people: HashMap<String, Identity>,
        banned: HashSet<String>,
        down: bool,
    }

    impl Known {
        /// As Sim answers: `null` for nobody and for an outage.
        fn reply(&self, request: &Request, secret: &str) -> Reply {
            let json = |status, body: Value| Reply::Json(status, body.to_string());
            let path = request.line.split([' ', '?']).nth(1).unwrap_or_default();
            let session = self.session(request, secret).filter(|_| !self.down);
            match (path, session) {
                ("/api/auth/get-session", Some(Identity { user, session, .. })) => json(
                    200,
                    json!({
                        "user": {
                            "id": user.id, "name": user.name, "email": user.email, "emailVerified": user.email_verified,
                            "image": user.image, "banned": self.banned.contains(&user.id), "banExpires": null,
                        },
                        "session": {"id": session.id, "userId": user.id, "expiresAt": session.expires_at},
                    }),
                ),
                ("/api/auth/get-session", None) => json(200, Value::Null),
                ("/api/auth/one-time-token/verify", _) if self.down => json(500, Value::Null),
                ("/api/auth/one-time-token/verify", _) => json(400, json!({"message": "Invalid token"})),
                ("/api/workspaces", Some(identity)) => {
                    let workspaces = &self.people[&identity.user.id].workspaces;
                    let each = |workspace: &parlant_auth_bridge::Workspace| json!({"id": workspace.id, "name": workspace.name, "permissions": workspace.permission});
                    json(200, json!({"workspaces": workspaces.iter().map(each).collect::<Vec<_>>()}))
                }
                _ => json(401, json!({"error": "Unauthorized"})),
            }
        }

        fn session(&self, request: &Request, secret: &str) -> Option<&Identity> {
            let mut cookies = request.header("cookie")?.split("; ");
            let value = cookies.find_map(|pair| pair.strip_prefix("better-auth.session_token="))?;
            let token = value.split('.').next()?;
            let session = self.sessions.get(token).filter(|_| value == signed_cookie(token, secret))?;
            (session.session.expires_at > chrono::Utc::now()).then_some(session)
        }
    }

    struct StandIn {
        known: Arc<Mutex<Known>>,
        source: HttpSource,
        _web: Web,
    }

    impl StandIn {
        async fn start() -> Self {
            let known = Arc::<Mutex<Known>>::default();
            let answering = Arc::clone(&known);
            let secret = super::InMemory::default().secret();
            let web = Web::serve(move |request| answering.lock().unwrap().reply(request, secret)).await;
            let source = HttpSource::new(&HttpConfig::new(web.url())).unwrap();
            Self { known, source, _web: web }
        }
    }

    impl Store for StandIn {
        fn source(&self) -> &dyn Source {
            &self.source
        }

        async fn sign_in(&self, token: &str, identity: &Identity) {
            let mut known = self.known.lock().unwrap();
            known.sessions.insert(token.to_owned(), identity.clone());
            known.people.insert(identity.user.id.clone(), identity.clone());
        }

        async fn sign_out(&self, token: &str) {
            self.known.lock().unwrap().sessions.remove(token);
        }

        async fn ban(&self, user_id: &str) {
            self.known.lock().unwrap().banned.insert(user_id.to_owned());
        }

        async fn set_down(&self, down: bool) {
            self.known.lock().unwrap().down = down;
        }
    }

    #[tokio::test]
    async fn sims_get_session_is_accepted() {
        accept(&StandIn::start().await).await;
    }
}
