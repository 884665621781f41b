use std::io::{self, IsTerminal as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parlant_admission::{Sessions, SimTables};
use parlant_api::{Chat, RateLimits, Readiness, Scrape, State};
use parlant_auth_bridge::{DatabaseSource, Source};
use parlant_conversations::{Conversations, Delivery, Reaper, UsageSampler};
use parlant_db_pool::{self as db_pool, Pool};
use parlant_engine::Engine;
use parlant_health::Monitor;
use parlant_metrics::Exporter;
use parlant_settings::Settings;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::alerts::Alerts;
use crate::configuration::Configuration;
use crate::directory::SimDirectory;
use crate::health;
use crate::reload::Hangups;
use crate::supervisor::{self, Supervisor};
use crate::workers::Workers;

/// How long a start waits for a database that cannot be reached, before it leaves the waiting to its supervisor.
const DATABASE_WAIT: Duration = Duration::from_secs(30);
const DATABASE_RETRY: Duration = Duration::from_millis(500);
/// How long a stop waits for the lines of requests that the end of the grace cut off: their workers are about to write
/// them.
const CUT_OFF_WAIT: Duration = Duration::from_secs(1);
const CUT_OFF_POLL: Duration = Duration::from_millis(5);
/// How often Sim is asked which workspaces are gone. Nobody can reach their agents meanwhile.
const REAPER_INTERVAL: Duration = Duration::from_hours(1);
/// How often sessions and agents are counted: about as often as anybody scrapes.
const USAGE_INTERVAL: Duration = Duration::from_secs(15);

/// Serves until a signal.
pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    // Before there are threads: it changes the environment.
    let inherited = supervisor::inherited_socket()?;
    runtime()?.block_on(async { start(settings, inherited, None).await?.run().await })
}

/// Runs what is not a request: requests run on actix' own threads.
pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// A server that accepts requests.
pub(crate) struct Running {
    address: SocketAddr,
    /// Whether others hold the socket too.
    inherited: bool,
    server: parlant_api::Server,
    readiness: Readiness,
    pool: Pool,
    conversations: Conversations,
    answers: Option<Answers>,
    alerts: Alerts,
    grace: Duration,
    supervisor: Supervisor,
    /// What runs beside the requests; aborted when dropped.
    background: JoinSet<()>,
    signals: Signals,
    _log: parlant_telemetry::Guard,
}

/// The way to and from the engine, which runs until it is told to stop.
struct Answers {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// Builds everything that the settings describe and begins to serve on the socket that was `inherited` or a new one, with
/// a page to chat on for a development server.
pub(crate) async fn start(
    mut settings: Settings,
    inherited: Option<TcpListener>,
    chat: Option<Chat>,
) -> anyhow::Result<Running> {
    let hangups = Hangups::listen()?;
    let supervisor = Supervisor::default();
    let configuration = Configuration::from_settings(&mut settings);
    settings.finish()?;
    let Configuration {
        api,
        database,
        auth,
        health,
        alerting,
        sim_api,
        limits,
        engine,
        delivery,
        telemetry,
        backup_dir,
        backup_metrics,
    } = configuration;
    // Everything that follows counts.
    let exporter = parlant_metrics::install()?;
    parlant_metrics::build_info(env!("CARGO_PKG_VERSION"), env!("PARLANT_REVISION"));
    let log = parlant_telemetry::init(&telemetry)?;
    let mut background = JoinSet::new();
    background.spawn(hangups.reload(log.handle(), supervisor.clone()));
    let is_inherited = inherited.is_some();
    let listener = inherited.map_or_else(|| bind(api.address), Ok)?;
    let address = listener.local_addr()?;
    let metrics = api.metrics_enabled.then(|| Scrape { exporter: exporter.clone(), token: api.metrics_token.clone() });
    let metrics_listener = api.metrics_address.filter(|_| api.metrics_enabled).map(bind).transpose()?;
    verify_schema(&database).await?;

    let pool = Pool::new(&database)?;
    let readiness = Readiness::new();
    background.spawn(keep_up(exporter.clone()));
    background.spawn(UsageSampler::new(pool.clone()).run(USAGE_INTERVAL));
    if let (Some(listener), Some(scrape)) = (metrics_listener, metrics.clone()) {
        tracing::info!(address = %listener.local_addr()?, "Serving metrics");
        background.spawn(metrics_alone(parlant_api::serve_metrics(listener, scrape, readiness.clone())?));
    }
    let source: Arc<dyn Source> = match &auth.sessions {
        Sessions::Http(source) => source.clone().context("AUTH_SOURCE=http without a source")?,
        Sessions::Database(elsewhere) => {
            let sim = elsewhere.as_deref().map_or_else(|| Ok(pool.clone()), Pool::new)?;
            let source = Arc::new(DatabaseSource::new(SimTables(sim)));
            let directory = SimDirectory(Arc::clone(&source));
            background.spawn(Reaper::new(pool.clone(), directory).run(REAPER_INTERVAL));
            source
        }
    };
    let auth = auth.bridge(source)?;
    let written = telemetry.file.into_iter().chain([backup_dir]);
    let checked = engine.as_ref().map(Engine::new).transpose()?;
    let checks = health::checks(&database, &pool, &auth, &exporter, sim_api, checked, written);
    let health = Monitor::new(health, env!("CARGO_PKG_VERSION"), exporter.clone(), checks);
    health::watch(&health, &mut background).await;
    let alerts = Alerts::begin(alerting, &database, address, exporter, backup_metrics)?;
    let mut conversations = Conversations::new(pool.clone(), limits);
    background.spawn(conversations.live().clone().run(database));
    let mut answers = None;
    if let Some(engine) = &engine {
        let (answered, delivery) = conversations.with_engine(Engine::new(engine)?, delivery);
        conversations = answered;
        answers = Some(Answers::begin(delivery));
    } else {
        tracing::warn!("No engine is configured (PARLANT_BASE_URL): messages are stored and not answered");
    }
    let state = State {
        auth,
        conversations: conversations.clone(),
        health,
        readiness: readiness.clone(),
        metrics,
        trusted_proxies: api.trusted_proxies.clone(),
        rate_limits: api.rate_limit.map(RateLimits::new),
        chat,
    };
    let workers = Workers::new();
    let server = parlant_api::serve(listener, &api, state, {
        let workers = workers.clone();
        move |_| workers.enter()
    })?;
    // Whoever reads that it serves may stop it, and it is to stop in order from then on.
    let signals = Signals::new()?;
    background.spawn(supervisor.clone().watch(workers));
    tracing::info!(version = env!("PARLANT_VERSION"), %address, start_id = %readiness.start_id(), "Serving");
    Ok(Running {
        address,
        inherited: is_inherited,
        server,
        readiness,
        pool,
        conversations,
        answers,
        alerts,
        grace: api.shutdown_grace,
        supervisor,
        background,
        signals,
        _log: log,
    })
}

impl Running {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it serves.
    pub(crate) fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// Serves until SIGTERM or SIGINT, then lets requests under way end, for as long as `SHUTDOWN_GRACE`. A second
    /// signal ends them at once.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Self {
            address,
            mut server,
            inherited,
            readiness,
            pool,
            answers,
            alerts,
            grace,
            supervisor,
            background,
            mut signals,
            _log,
            ..
        } = self;
        // The server's first poll starts the threads that serve.
        let serving = async {
            supervisor.serving(address);
            signals.next().await
        };
        tokio::select! {
            biased;
            ended = &mut server => {
                ended.context("the server ended")?;
                anyhow::bail!("the server ended without being asked to");
            }
            name = serving => tracing::info!(signal = name, "Stopping"),
        }
        supervisor.stopping(grace);
        let orderly = async {
            let requests = parlant_api::stop(server, &readiness, grace, inherited);
            // Other servers go on with what is not answered yet, while requests end here.
            let answers = async {
                if let Some(answers) = answers {
                    answers.end(grace).await;
                }
            };
            let (ended, (), ()) = tokio::join!(requests, answers, alerts.end(grace));
            if let Ok(requests @ 1..) = ended {
                tracing::warn!(
                    requests,
                    grace_seconds = grace.as_secs(),
                    "Requests were cut off at the end of the grace"
                );
            }
            let last_lines = async {
                while readiness.under_way() > 0 {
                    sleep(CUT_OFF_POLL).await;
                }
            };
            // Unless a worker is stuck.
            let _ = timeout(CUT_OFF_WAIT, last_lines).await;
            drop(background);
            pool.close().await;
            ended
        };
        tokio::select! {
            ended = orderly => drop(ended.context("the server ended")?),
            name = signals.next() => tracing::warn!(signal = name, "Stopping at once"),
        }
        tracing::info!("Stopped");
        Ok(())
    }
}

impl Answers {
    fn begin(delivery: Delivery) -> Self {
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(delivery.run(async {
            let _ = stopped.await;
        }));
        Self { stop, running }
    }

    /// Gives back what is under way.
    async fn end(self, grace: Duration) {
        drop(self.stop);
        let _ = timeout(grace, self.running).await;
    }
}

/// The signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    on_terminal: bool,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            on_terminal: io::stderr().is_terminal(),
        })
    }

    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                // Reloads, unless it says that the terminal was closed which the server was started in.
                _ = self.hangup.recv() => {
                    if self.on_terminal && !io::stderr().is_terminal() {
                        return "SIGHUP";
                    }
                }
            }
        }
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// Refuses a schema that this version was not built for. Waits a while for a database that is still starting.
async fn verify_schema(database: &db_pool::Config) -> anyhow::Result<()> {
    let deadline = Instant::now() + DATABASE_WAIT;
    let client = loop {
        Supervisor::waiting_for_database(DATABASE_WAIT);
        match db_pool::connect(database).await {
            Ok(client) => break client,
            Err(error) if error.class() == db_pool::Class::Transient && Instant::now() < deadline => {
                tracing::warn!(error = &error as &dyn std::error::Error, "Waiting for the database");
                sleep(DATABASE_RETRY).await;
            }
            Err(error) => return Err(error).context("cannot reach the database"),
        }
    };
    parlant_schema::verify(&client)
        .await
        .context("the schema does not fit this version; see `parlant-migrate status`")?;
    Ok(())
}

async fn metrics_alone(server: parlant_api::Server) {
    if let Err(error) = server.await {
        tracing::error!(error = &error as &dyn std::error::Error, "The metrics' own listener failed");
    }
}

async fn keep_up(exporter: Exporter) {
    let mut ticks = tokio::time::interval(parlant_metrics::UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        exporter.upkeep();
    }
}
