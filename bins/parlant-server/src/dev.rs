mod database;
mod engine;
mod handout;
mod parlant;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use parlant_admission::{BETTER_AUTH_SECRET, SIM_DATABASE_URL, SOURCE};
use parlant_api::Chat;
use parlant_auth_bridge::Permission;
use parlant_auth_bridge::fixture::Demo;
use parlant_conversations::{Actor, Conversations, ListAgents, NewAgent};
use parlant_settings::{Settings, Variable};

use crate::cli::DevArguments;
use crate::serve;

/// Where PostgreSQL's programs are, when they are in none of the usual places.
const PG_BIN_DIR: Variable =
    Variable::new("PG_BIN_DIR", "Directory of PostgreSQL's programs, for `dev`; searched for when unset");

/// What runs Parlant.
const PARLANT_PYTHON: Variable = Variable::new(
    "PARLANT_PYTHON",
    "Python that has Parlant, for `dev --parlant`; searched for in `python/` of the data directory and in PATH when unset",
);

/// The variables that `dev` reads beside those of the server.
pub(crate) const VARIABLES: &[Variable] = &[PG_BIN_DIR, PARLANT_PYTHON];

/// Serves with everything that `serve` expects to be there, and says how to use it.
pub(crate) fn run(mut settings: Settings, arguments: &DevArguments) -> anyhow::Result<()> {
    let bin_dir: Option<PathBuf> = settings.optional(&PG_BIN_DIR);
    let python: Option<PathBuf> = settings.optional(&PARLANT_PYTHON);
    if let Some(port) = arguments.port {
        settings.set(&parlant_api::PORT, port.to_string());
    }
    // Whatever is configured for a real deployment must not be touched from here.
    if !settings.is_set(&parlant_api::HOST) {
        settings.set(&parlant_api::HOST, "127.0.0.1");
    }
    // Whoever tries things out, or puts it under load, has one credential for everything.
    let limits =
        [parlant_api::RATE_LIMIT_PER_MINUTE, parlant_api::RATE_LIMIT_BURST, parlant_api::RATE_LIMIT_INVALID_TOKENS];
    if !limits.iter().any(|limit| settings.is_set(limit)) {
        settings.set(&parlant_api::RATE_LIMIT_PER_MINUTE, "0");
    }
    for (variable, value) in [
        (&parlant_db_pool::SSL_MODE, "disable"),
        (&parlant_db_pool::SSL_ROOT_CERT, ""),
        (&SOURCE, "database"),
        (&SIM_DATABASE_URL, ""),
        (&parlant_alerting::SLACK_WEBHOOK_URL, ""),
        (&parlant_alerting::JSON_WEBHOOK_URL, ""),
        (&parlant_alerting::HEARTBEAT_URL, ""),
        (&parlant_alerting::STATE_DIR, ""),
    ] {
        settings.set(variable, value);
    }

    serve::runtime()?.block_on(async {
        let data_dir = &arguments.data_dir;
        if arguments.fresh {
            parlant_embedded_postgres::Cluster::remove(data_dir).await?;
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(data_dir);
        made.with_context(|| format!("cannot create {}", data_dir.display()))?;
        let engine = engine::Engine::start(arguments.parlant, python, data_dir, &mut settings).await?;
        let database = database::start(bin_dir.as_deref(), data_dir).await?;
        settings.set(&parlant_db_pool::DATABASE_URL, &*database.server_url);
        if !settings.is_set(&BETTER_AUTH_SECRET) {
            settings.set(&BETTER_AUTH_SECRET, kept_secret(data_dir)?);
        }

        let secret = settings.secret(&BETTER_AUTH_SECRET).unwrap_or_default();
        // A secret that is no good is reported with all other problems.
        let chat = database.demo.signed_token(&secret).ok().map(|token| Chat { token: token.into() });
        let server = serve::start(settings, None, chat).await?;
        make_first_agent(server.conversations(), &database.demo).await.context("cannot create the demo agent")?;
        let handout = handout::Handout::new(server.address(), &database, &engine);
        write_private(&data_dir.join("dev.json"), &handout.json())?;
        handout.print()?;
        let outcome = server.run().await;
        engine.stop().await;
        database.cluster.stop().await;
        outcome
    })
}

/// An agent to talk to, so that nobody has to make one first.
async fn make_first_agent(conversations: &Conversations, demo: &Demo) -> anyhow::Result<()> {
    let workspace = demo.workspaces.first().context("the demo user has no workspace")?;
    let actor = Actor::new(&demo.user_id, [(workspace.id.as_str(), Permission::Admin)]);
    let first = ListAgents { workspace_id: Some(&workspace.id), cursor: None, limit: 1 };
    if conversations.list_agents(&actor, first).await?.items.is_empty() {
        let agent = NewAgent {
            workspace_id: workspace.id.clone(),
            name: "Demo agent".to_owned(),
            description: Some("Shows how a conversation works.".to_owned()),
            guidelines: vec!["Answer in the language of the question.".into()],
            tools: Vec::new(),
            model: None,
            temperature: None,
        };
        conversations.create_agent(&actor, agent).await?;
    }
    Ok(())
}

/// The secret that signs session tokens here, made once, so that a signed token of yesterday works today.
fn kept_secret(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("better-auth-secret");
    match fs::read_to_string(&path) {
        Ok(secret) => Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = database::random_text();
            write_private(&path, &secret)?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
