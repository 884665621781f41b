use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use parlant_admission::{Auth, SIM_BASE_URL, Sessions};
use parlant_alerting::SLACK_WEBHOOK_URL;
use parlant_health::SIM_HEALTH_PATH;
use parlant_settings::{Problem, Secret, Settings, Variable};

use crate::doctor::Selection;
use crate::doctor::server::Server;
use crate::doctor::sim::Sim;
use crate::load_test::TOKEN;

// Declared by those who serve, log and keep backups; the server's own check tells what is wrong with them.
const HOST: Variable = Variable::new("HOST", "").default("0.0.0.0");
const PORT: Variable = Variable::new("PORT", "").default("8001");
const METRICS_ENABLED: Variable = Variable::new("METRICS_ENABLED", "").default("true");
const METRICS_TOKEN: Variable = Variable::new("METRICS_TOKEN", "").secret();
const LOG_FILE: Variable = Variable::new("LOG_FILE", "");
const BACKUP_DIR: Variable = Variable::new("BACKUP_DIR", "");

/// Where to look, from the settings of the server. `Debug` shows no secret.
pub struct Config {
    /// The bridge's database.
    pub(crate) database: parlant_db_pool::Config,
    /// Who is admitted.
    pub(crate) auth: Auth,
    /// Where Sim is, if anything depends on it.
    pub(crate) sim: Option<Sim>,
    /// Where the server is.
    pub(crate) server: Server,
    pub(crate) engine: Option<parlant_engine::Config>,
    pub(crate) backup: parlant_backup_core::Config,
    pub(crate) backup_dir_given: bool,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) webhook: Option<Secret>,
    /// What is wrong with the settings that are read here.
    pub(crate) problems: Vec<Problem>,
    /// The server's program, which knows all settings; without it only some are looked at.
    pub server_program: Option<PathBuf>,
    /// A credential to judge as the server would.
    pub token: Option<Secret>,
    /// The workspace that the bearer of the token wants to enter.
    pub workspace: Option<String>,
    /// What is wanted.
    pub selection: Selection,
}

impl Config {
    /// Reads what the server reads. What is wrong with it becomes a finding.
    ///
    /// # Errors
    /// What is wrong with the [`TOKEN`], if that was asked for.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Problem> {
        let mut database = parlant_db_pool::Config::from_settings(&mut settings);
        // What the database's own administrators see of this.
        "parlant-doctor".clone_into(&mut database.application_name);
        let auth = Auth::from_settings(&mut settings, &database);
        let sim = sim(&mut settings, &auth);
        let host = settings.optional::<IpAddr>(&HOST).filter(|host| !host.is_unspecified());
        let address = SocketAddr::new(host.unwrap_or(Ipv4Addr::LOCALHOST.into()), settings.value(&PORT));
        let metrics = settings.value(&METRICS_ENABLED);
        let server = Server { address, metrics, metrics_token: settings.secret(&METRICS_TOKEN) };
        let mut config = Self {
            engine: parlant_engine::Config::from_settings(&mut settings),
            backup: parlant_backup_core::Config::from_settings(&mut settings),
            backup_dir_given: settings.is_set(&BACKUP_DIR),
            log_file: settings.optional(&LOG_FILE),
            webhook: settings.secret(&SLACK_WEBHOOK_URL),
            problems: Vec::new(),
            server_program: None,
            workspace: None,
            selection: Selection::default(),
            database,
            auth,
            sim,
            server,
            token: None,
        };
        let problems = settings.finish().map_or_else(|problems| problems.0, |()| Vec::new());
        let (own, problems) = problems.into_iter().partition::<Vec<_>, _>(|one| one.variable.starts_with(TOKEN.name));
        config.problems = problems;
        own.into_iter().next().map_or(Ok(config), Err)
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("selection", &self.selection).finish_non_exhaustive()
    }
}

/// As the server has it: where sessions are looked up in Sim's tables, Sim is watched only if somebody says where it is.
fn sim(settings: &mut Settings, auth: &Auth) -> Option<Sim> {
    let needed = matches!(auth.sessions, Sessions::Http(_));
    let wanted = needed || settings.is_set(&SIM_BASE_URL);
    let base_url: String = settings.value(&SIM_BASE_URL);
    let health_path = settings.value(&SIM_HEALTH_PATH);
    wanted.then(|| Sim { base_url: base_url.trim_end_matches('/').to_owned(), health_path, needed })
}
