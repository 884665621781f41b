//! An engine within the process: speaks as much of Parlant's interface as the [client](crate::Engine) uses, on
//! loopback, and answers each message with itself. No model is asked.
//!
//! For development servers that have no Parlant, and for tests, which make it fail: [`Echo`] has a switch for whatever
//! a Parlant did to its clients. What it takes over from Parlant is held against the real one by `tests/contract/`.

mod turn;
mod world;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::Config;
use world::World;

/// What comes before everything that it says.
pub const PREFIX: &str = "(echo) ";

/// Stands for an answer that is begun and never ends.
const ANSWER_LOST: StatusCode = StatusCode::IM_A_TEAPOT;

/// The engine, running. It ends when dropped.
pub struct Echo {
    address: SocketAddr,
    shared: Data<Shared>,
    server: ServerHandle,
}

/// What the requests and turns share.
struct Shared {
    world: Mutex<World>,
    switches: watch::Sender<Switches>,
    /// Woken by every event.
    changes: watch::Sender<()>,
    /// Our ids of the messages that were posted, in this world or an earlier one.
    posted: Mutex<Vec<Uuid>>,
}

/// How it is to behave.
#[derive(Debug, Clone, Copy, Default)]
struct Switches {
    hanging: bool,
    refusing: bool,
    pause: Duration,
    failing_turns: usize,
    lost_answers: usize,
}

impl std::fmt::Debug for Echo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Echo").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It is told at once; nobody waits for it.
        drop(self.server.stop(false));
    }
}

impl Echo {
    /// Starts one on a free port of loopback. Call within a tokio runtime.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Data::new(Shared {
            world: Mutex::default(),
            switches: watch::Sender::default(),
            changes: watch::Sender::default(),
            posted: Mutex::default(),
        });
        let state = Data::clone(&shared);
        let app = move || {
            App::new()
                .app_data(Data::clone(&state))
                .app_data(PayloadConfig::new(1024 * 1024))
                .default_service(web::to(receive))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { address, shared, server: handle })
    }

    /// How a client finds it.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::new(format!("http://{}", self.address))
    }

    /// Forgets everything, as a Parlant does that restarts.
    pub fn forget(&self) {
        *self.shared.world() = World::default();
        self.shared.changes.send_replace(());
    }

    /// Accepts requests and answers none, those under way neither, until it is told not to.
    pub fn hang(&self, hanging: bool) {
        self.shared.switches.send_modify(|switches| switches.hanging = hanging);
    }

    /// Answers everything with 503, until it is told not to.
    pub fn refuse(&self, refusing: bool) {
        self.shared.switches.send_modify(|switches| switches.refusing = refusing);
    }

    /// Takes that long for each answer from now on. At first it takes no time.
    pub fn pause(&self, pause: Duration) {
        self.shared.switches.send_modify(|switches| switches.pause = pause);
    }

    /// Fails as many of the next turns.
    pub fn fail_turns(&self, count: usize) {
        self.shared.switches.send_modify(|switches| switches.failing_turns = count);
    }

    /// Takes as many of the next messages, and breaks the connection instead of saying so.
    pub fn lose_answers(&self, count: usize) {
        self.shared.switches.send_modify(|switches| switches.lost_answers = count);
    }

    /// The ids of all messages that customers posted, in their order, whatever was forgotten since.
    #[must_use]
    pub fn posted(&self) -> Vec<Uuid> {
        self.shared.posted().clone()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.world().sessions.len()
    }

    /// How many agents there are.
    #[must_use]
    pub fn agents(&self) -> usize {
        self.shared.world().count("agents")
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn posted(&self) -> MutexGuard<'_, Vec<Uuid>> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as it hangs.
    async fn calm(&self) {
        let _ = self.switches.subscribe().wait_for(|switches| !switches.hanging).await;
    }

    /// Whether a switch that counts down was on.
    fn take(&self, counter: impl Fn(&mut Switches) -> &mut usize) -> bool {
        self.switches.send_if_modified(|switches| {
            let left = counter(switches);
            let was_on = *left > 0;
            *left = left.saturating_sub(1);
            was_on
        })
    }
}

/// What is answered: a status, and a body with those of success.
type Answer = Result<(StatusCode, Value), StatusCode>;

/// Every request.
async fn receive(request: HttpRequest, body: Bytes, shared: Data<Shared>) -> HttpResponse {
    let shared = shared.into_inner();
    // What was received is done, even if the client gave up while it hung.
    let answer = rt::spawn(async move {
        shared.calm().await;
        if shared.switches.borrow().refusing {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let answer = respond(&request, &body, &shared).await;
        shared.calm().await;
        answer
    });
    match answer.await.unwrap_or(Err(StatusCode::INTERNAL_SERVER_ERROR)) {
        Ok((StatusCode::NO_CONTENT, _)) => HttpResponse::NoContent().finish(),
        Ok((ANSWER_LOST, _)) => {
            let broken = Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset));
            HttpResponse::Created().streaming(stream::iter([broken]))
        }
        Ok((status, value)) => HttpResponse::build(status).json(value),
        Err(StatusCode::SERVICE_UNAVAILABLE) => HttpResponse::ServiceUnavailable().finish(),
        // Whatever Parlant's authors did not foresee.
        Err(StatusCode::INTERNAL_SERVER_ERROR) => {
            HttpResponse::InternalServerError().content_type("text/plain; charset=utf-8").body("Internal Server Error")
        }
        Err(status) => HttpResponse::build(status).json(json!({ "detail": status.canonical_reason() })),
    }
}

async fn respond(request: &HttpRequest, body: &[u8], shared: &Arc<Shared>) -> Answer {
    let path: Vec<_> = request.path().split('/').filter(|part| !part.is_empty()).collect();
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string());
    let query = query.map(web::Query::into_inner).unwrap_or_default();
    let body = serde_json::from_slice(body).unwrap_or_default();
    let ok = |value| Ok((StatusCode::OK, value));
    match (request.method().as_str(), &path[..]) {
        ("GET", ["healthz"]) => ok(json!({ "status": "healthy", "checks": {} })),
        ("GET", ["openapi.json"]) => ok(json!({ "info": { "title": "Echo", "version": "echo" } })),
        ("POST", ["sessions"]) => shared.world().open(&body),
        ("DELETE", ["sessions"]) => {
            shared.world().close_all(&query);
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        ("PATCH", ["sessions", id]) => shared.world().change(id, &body),
        ("DELETE", ["sessions", id]) => shared.world().close(id),
        ("GET", ["sessions", id, "events"]) => poll(shared, id, &query).await,
        ("POST", ["sessions", id, "events"]) => turn::post(shared, id, &body),
        (method, [collection @ ("agents" | "customers" | "guidelines")]) => {
            shared.world().collection(method, collection, body, &query)
        }
        (method, [collection @ ("agents" | "customers" | "guidelines"), id]) => {
            shared.world().entity(method, collection, id, body)
        }
        _ => Err(StatusCode::NOT_FOUND),
    }
}

async fn poll(shared: &Shared, id: &str, query: &HashMap<String, String>) -> Answer {
    let wait = query.get("wait_for_data").and_then(|wait| wait.parse().ok()).unwrap_or(60);
    let deadline = Instant::now() + Duration::from_secs(wait);
    let mut changes = shared.changes.subscribe();
    loop {
        let events = shared.world().events(id, query)?;
        if wait == 0 || !events.is_empty() {
            return Ok((StatusCode::OK, events.into()));
        }
        if timeout_at(deadline, changes.changed()).await.is_err() {
            return Err(StatusCode::GATEWAY_TIMEOUT);
        }
    }
}
