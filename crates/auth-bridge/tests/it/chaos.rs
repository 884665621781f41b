//! Requests go on while Sim and its database fail in every way. Over the whole run: nobody who is valid is refused,
//! nobody who left is admitted after the bound, every answer comes in bounded time, and the end of a failure is
//! noticed within two seconds.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use futures_util::future::{BoxFuture, join_all};
use parlant_auth_bridge::{AuthBridge, Config, Credential, DatabaseSource, HttpConfig, HttpSource, Verdict};
use parlant_db_pool::Pool;
use parlant_test_support::{ChaosProxy, SimTables, database};
use secrecy::SecretString;
use serde_json::json;

use crate::memory::SECRET;
use crate::web::{Reply, Web};

const STEADY: usize = 5;
const RECOVERY: Duration = Duration::from_secs(2);
/// What a loaded machine may add.
const SLACK: Duration = Duration::from_secs(1);

type Act = Box<dyn FnMut() -> BoxFuture<'static, ()>>;

/// One failure: what begins it, and for how long it lasts.
struct Failure {
    name: &'static str,
    begin: Act,
    lasts: Duration,
}

struct Run {
    bridge: AuthBridge,
    failures: Vec<Failure>,
    restore: Act,
    sign_out: Box<dyn FnMut(String) -> BoxFuture<'static, ()>>,
    /// Those who stay, those who leave during one failure each, and those who come after one each.
    steady: Vec<String>,
    leaving: Vec<String>,
    coming: Vec<String>,
    /// How long somebody who left may be admitted.
    bound: Duration,
    latency: Duration,
}

#[derive(Default)]
struct Seen {
    left: HashMap<String, Instant>,
    wrong: Vec<String>,
    requests: [usize; 3],
    slowest: Duration,
}

impl Run {
    #[expect(clippy::print_stdout, reason = "the figures of the run, for those who pass --nocapture")]
    async fn go(mut self) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let everybody: Vec<_> = self.steady.iter().chain(&self.leaving).cloned().collect();
        for token in &everybody {
            let verdict = self.bridge.authenticate(&Credential::from_bearer(token)).await;
            assert!(matches!(verdict, Verdict::Valid(_)), "{verdict:?}");
        }
        let (bound, bridge) = (self.bound + SLACK, self.bridge.clone());
        let load = join_all(everybody.into_iter().map(|token| {
            let (seen, bridge) = (Arc::clone(&seen), bridge.clone());
            async move {
                loop {
                    ask(&bridge, &token, bound, &seen).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }));
        let load = tokio::spawn(load);
        for (index, failure) in self.failures.iter_mut().enumerate() {
            (failure.begin)().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            (self.sign_out)(self.leaving[index].clone()).await;
            seen.lock().unwrap().left.insert(self.leaving[index].clone(), Instant::now());
            tokio::time::sleep(failure.lasts).await;
            (self.restore)().await;
            let restored = Instant::now();
            let coming = Credential::from_bearer(&self.coming[index]);
            while !matches!(bridge.authenticate(&coming).await, Verdict::Valid(_)) {
                assert!(restored.elapsed() < RECOVERY + SLACK, "{} is over and not noticed", failure.name);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            println!("{}: over after {:?}", failure.name, restored.elapsed());
        }
        tokio::time::sleep(bound).await;
        load.abort();
        let seen = seen.lock().unwrap();
        println!("valid, refused, unknown: {:?}; slowest {:?}", seen.requests, seen.slowest);
        assert!(seen.wrong.is_empty(), "{:?}", &seen.wrong[..seen.wrong.len().min(5)]);
        assert!(seen.slowest < self.latency + 2 * SLACK, "{:?}", seen.slowest);
        assert!(seen.requests[0] > 500 && seen.requests[1] > 20, "{:?}", seen.requests);
    }
}

async fn ask(bridge: &AuthBridge, token: &str, bound: Duration, seen: &Mutex<Seen>) {
    let start = Instant::now();
    let verdict = bridge.authenticate(&Credential::from_bearer(token)).await;
    let mut seen = seen.lock().unwrap();
    seen.slowest = seen.slowest.max(start.elapsed());
    let left = seen.left.get(token).copied();
    let (kind, wrong) = match verdict {
        Verdict::Valid(_) => (0, left.is_some_and(|left| start > left + bound)),
        // It may be refused while the test has not noted yet that it left.
        Verdict::Invalid(_) => (1, token.starts_with("steady")),
        Verdict::Unknown(_) => (2, false),
    };
    seen.requests[kind] += 1;
    if wrong {
        let since = left.map(|left| start - left);
        seen.wrong.push(format!("{token} was {}, {since:?} after it left", ["valid", "refused"][kind]));
    }
}

fn names(kind: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{kind}{n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sims_database_fails_in_every_way() {
    let database = database().await;
    let sim = database.sim().await;
    let user = sim.user("Ada").await;
    let proxy = Arc::new(ChaosProxy::start(database.address()).await);
    let weather = |change: fn(Arc<ChaosProxy>) -> BoxFuture<'static, ()>| -> Act {
        let proxy = Arc::clone(&proxy);
        Box::new(move || change(Arc::clone(&proxy)))
    };
    let killed = weather(|proxy| {
        Box::pin(async move {
            proxy.refuse().await;
            proxy.cut();
        })
    });
    let hung = weather(|proxy| Box::pin(async move { proxy.hang() }));
    let restarted = weather(|proxy| Box::pin(async move { proxy.cut() }));
    let slow = weather(|proxy| Box::pin(async move { proxy.delay(Duration::from_millis(150)) }));
    let failures = vec![
        Failure { name: "killed", begin: killed, lasts: Duration::from_secs(3) },
        Failure { name: "hung", begin: hung, lasts: Duration::from_secs(4) },
        Failure { name: "restarted", begin: restarted, lasts: Duration::from_millis(100) },
        Failure { name: "slow", begin: slow, lasts: Duration::from_secs(2) },
    ];
    let (steady, leaving, coming) = (names("steady", STEADY), names("leaving", 4), names("coming", 4));
    for token in steady.iter().chain(&leaving).chain(&coming) {
        let insert = format!(
            "insert into session (id, token, user_id, expires_at, created_at, updated_at)
             values ('s-{token}', '{token}', '{user}', now() + interval '1 day', now(), now())"
        );
        sim.client().batch_execute(&insert).await.unwrap();
    }
    let pool = Pool::new(&parlant_db_pool::Config::new(database.url_through(proxy.address()))).unwrap();
    let config = Config { stale_if_error: Duration::from_secs(1), ..Config::default() };
    let sim = Arc::new(sim);
    Run {
        bridge: AuthBridge::new(&config, Arc::new(DatabaseSource::new(SimTables(pool)))).unwrap(),
        failures,
        restore: weather(|proxy| Box::pin(async move { proxy.restore().await })),
        sign_out: Box::new(move |token| {
            let sim = Arc::clone(&sim);
            Box::pin(async move { sim.sign_out(&token).await })
        }),
        steady,
        leaving,
        coming,
        bound: Duration::from_secs(2),
        // What a look-up may take; only those who cannot be served otherwise wait so long, and few of them.
        latency: Duration::from_secs(5),
    }
    .go()
    .await;
}

/// A false Sim: what it says instead of the truth, and who signed out.
#[derive(Default)]
struct FalseSim {
    instead: Option<Reply>,
    gone: HashSet<String>,
}

impl FalseSim {
    fn answer(&self, line: &str, cookie: &str) -> Reply {
        match &self.instead {
            // Its database is away: `null`, and no proof of the contrary.
            Some(Reply::Json(200, null)) if null == "null" && line.starts_with("POST") => {
                Reply::Json(500, String::new())
            }
            Some(reply) => reply.clone(),
            None if line.starts_with("POST") => Reply::Json(400, json!({"message": "Invalid token"}).to_string()),
            None if line.contains("workspaces") => Reply::Json(200, json!({"workspaces": []}).to_string()),
            None if self.gone.iter().any(|token| cookie.contains(&format!("={token}."))) => {
                Reply::Json(200, "null".to_owned())
            }
            None => {
                let expires = Utc::now() + TimeDelta::days(1);
                let answer = json!({"user": {"id": "u", "email": "e"}, "session": {"id": "s", "expiresAt": expires}});
                Reply::Json(200, answer.to_string())
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sim_itself_fails_in_every_way() {
    let sim = Arc::new(Mutex::new(FalseSim::default()));
    let answers = Arc::clone(&sim);
    let web = Web::serve(move |request| {
        let cookie = request.header("cookie").unwrap_or_default();
        answers.lock().unwrap().answer(&request.line, cookie)
    })
    .await;
    let replies = [
        ("500", Reply::Json(500, String::new())),
        ("429", Reply::Limited(1)),
        ("null", Reply::Json(200, "null".to_owned())),
        ("garbage", Reply::Json(200, "<html>".to_owned())),
        ("half a body", Reply::Half { promised: 2000, sent: "{\"user\":".to_owned() }),
        ("hang", Reply::Hang),
        ("endless", Reply::Endless),
    ];
    let failures: Vec<_> = replies
        .into_iter()
        .map(|(name, reply)| {
            let sim = Arc::clone(&sim);
            let begin: Act = Box::new(move || {
                sim.lock().unwrap().instead = Some(reply.clone());
                Box::pin(async {})
            });
            Failure { name, begin, lasts: Duration::from_millis(1200) }
        })
        .collect();
    let count = failures.len();
    let mut http = HttpConfig::new(web.url());
    http.timeout = Duration::from_millis(700);
    let config = Config {
        cache_ttl: Duration::from_millis(300),
        stale_if_error: Duration::from_secs(1),
        negative_ttl: Duration::from_millis(100),
        better_auth_secret: Some(SecretString::from(SECRET)),
        ..Config::default()
    };
    let (restored, left) = (Arc::clone(&sim), Arc::clone(&sim));
    Run {
        bridge: AuthBridge::new(&config, Arc::new(HttpSource::new(&http).unwrap())).unwrap(),
        failures,
        restore: Box::new(move || {
            restored.lock().unwrap().instead = None;
            Box::pin(async {})
        }),
        sign_out: Box::new(move |token| {
            left.lock().unwrap().gone.insert(token);
            Box::pin(async {})
        }),
        steady: names("steady", STEADY),
        leaving: names("leaving", count),
        coming: names("coming", count),
        bound: config.cache_ttl + config.stale_if_error,
        latency: http.timeout,
    }
    .go()
    .await;
}
