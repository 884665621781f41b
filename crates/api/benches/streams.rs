//! What idle streams cost one server: memory and processor time of the process, its clients being in another one.
//! PostgreSQL's part is not in it.
#![expect(clippy::unwrap_used, reason = "what cannot be set up cannot be measured")]
#![expect(clippy::print_stdout, reason = "for whoever measures")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parlant_api::{Config, Readiness, State, TrustedProxies, serve};
use parlant_auth_bridge::{AuthBridge, DatabaseSource, Permission};
use parlant_conversations::{Actor, Conversations, Limits, MAX_STREAMS_PER_USER, NewAgent, NewSession};
use parlant_db_pool::Pool;
use parlant_health::Monitor;
use parlant_metrics::{Exporter, Snapshot};
use parlant_test_support::{SimTables, TestDatabase, database};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const STREAMS: u32 = 1000;
/// How long they are watched.
const WATCH: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "clients") {
        clients().await;
        return;
    }
    let exporter = parlant_metrics::install().unwrap();
    let database = database().await;
    let (address, requests) = server(&database, &exporter).await;
    for kind in ["idle", "sse", "websocket"] {
        let clients = (kind != "idle").then(|| open(address, &requests, kind));
        let before = usage(&exporter);
        let start = Instant::now();
        tokio::time::sleep(WATCH).await;
        let after = usage(&exporter);
        let cpu = (after.1 - before.1) / start.elapsed().as_secs_f64() * 100.0;
        println!("{kind}: {STREAMS} streams, {:.1} MB resident, {cpu:.2} % of a core", after.0 / 1e6);
        if let Some(mut clients) = clients {
            // It ends with its input.
            drop(clients.stdin.take());
            clients.wait().unwrap();
        }
    }
}

/// Bytes of memory and seconds of processor time.
fn usage(exporter: &Exporter) -> (f64, f64) {
    let page = Snapshot::parse(&exporter.render());
    let value = |name| page.sum(name, &[]).unwrap();
    (value("process_resident_memory_bytes"), value("process_cpu_seconds_total"))
}

/// A server, and a token and a session for each user that it takes.
async fn server(database: &TestDatabase, exporter: &Exporter) -> (SocketAddr, String) {
    let config = parlant_db_pool::Config::new(database.url());
    let pool = Pool::new(&config).unwrap();
    let source = Arc::new(DatabaseSource::new(SimTables(pool.clone())));
    let conversations = Conversations::new(pool, Limits::default());
    tokio::spawn(conversations.live().clone().run(config));
    let sim = database.sim().await;
    let mut requests = Vec::new();
    for _ in 0..STREAMS / MAX_STREAMS_PER_USER {
        let user = sim.user("Ada").await;
        let workspace_id = sim.workspace(&user).await;
        let actor = Actor::new(&user, [(workspace_id.as_str(), Permission::Admin)]);
        let agent = NewAgent {
            workspace_id: workspace_id.clone(),
            name: "Guide".into(),
            description: None,
            guidelines: Vec::new(),
            tools: Vec::new(),
            model: None,
            temperature: None,
        };
        let agent_id = conversations.create_agent(&actor, agent).await.unwrap().id;
        let session = NewSession { agent_id, workspace_id: workspace_id.clone(), context: None };
        let session = conversations.start_session(&actor, session).await.unwrap().id;
        requests.push(format!("{} {session}\n", sim.session(&user).await));
    }
    let state = State {
        auth: AuthBridge::new(&parlant_auth_bridge::Config::default(), source).unwrap(),
        conversations,
        health: Monitor::new(parlant_health::Config::default(), "0", exporter.clone(), Vec::new()),
        readiness: Readiness::new(),
        metrics: None,
        chat: None,
        trusted_proxies: TrustedProxies::default(),
        rate_limits: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config { workers: NonZeroUsize::new(2).unwrap(), ..Config::default() };
    tokio::spawn(serve(listener, &config, state, |_| {}).unwrap());
    (address, requests.concat())
}

/// Opens all streams from another process.
fn open(address: SocketAddr, requests: &str, kind: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("clients").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut clients = command.spawn().unwrap();
    write!(clients.stdin.as_mut().unwrap(), "{address} {kind}\n{requests}\n").unwrap();
    let mut ready = String::new();
    BufReader::new(clients.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    clients
}

/// The other process.
async fn clients() {
    let lines = || std::io::stdin().lines().map(Result::unwrap);
    let asked: Vec<_> = lines().take_while(|line| !line.is_empty()).collect();
    let (first, rest) = asked.split_first().unwrap();
    let (address, kind) = first.split_once(' ').unwrap();
    for (token, session) in rest.iter().filter_map(|line| line.split_once(' ')) {
        for _ in 0..MAX_STREAMS_PER_USER {
            let (path, upgrade) = match kind {
                "sse" => (format!("sessions/{session}/events"), ""),
                _ => (
                    "ws".to_owned(),
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                ),
            };
            let head = format!(
                "GET /api/v1/agents/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{upgrade}\r\n"
            );
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut status = [0; 10];
            stream.read_exact(&mut status).await.unwrap();
            assert!(matches!(&status[9..], b"1" | b"2"), "refused");
            tokio::spawn(async move {
                let mut bytes = [0; 256];
                while let Ok(read) = stream.read(&mut bytes).await {
                    // A ping is answered, with a mask of nothing.
                    if bytes[..read].starts_with(&[0x89, 0]) {
                        stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap();
                    }
                    if read == 0 {
                        return;
                    }
                }
            });
        }
    }
    println!("ready");
    assert_eq!(tokio::task::spawn_blocking(move || lines().next()).await.unwrap(), None);
}
