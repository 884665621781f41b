use std::path::PathBuf;

use parlant_admission::{Auth, SIM_BASE_URL, Sessions};
use parlant_health::SimApi;
use parlant_settings::{Settings, Variable};

/// Variables that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// The variables, in the order in which people read about them.
    pub variables: &'static [Variable],
}

/// Every variable that the server reads.
pub const VARIABLES: &[Group] = &[
    Group { title: "Listening", variables: parlant_api::VARIABLES },
    Group { title: "Database", variables: parlant_db_pool::VARIABLES },
    Group { title: "Admitting Sim's users", variables: parlant_admission::VARIABLES },
    Group { title: "The engine that answers", variables: parlant_engine::VARIABLES },
    Group { title: "Conversations", variables: parlant_conversations::VARIABLES },
    Group { title: "Health", variables: parlant_health::VARIABLES },
    Group { title: "Alerts", variables: parlant_alerting::VARIABLES },
    Group { title: "Logs", variables: parlant_telemetry::VARIABLES },
    Group { title: "Development (`dev` only)", variables: crate::dev::VARIABLES },
];

/// Where `parlant-backup`, which declares it, puts the backups: the server watches how full that place is.
const BACKUP_DIR: Variable = Variable::new("BACKUP_DIR", "Directory of the backups").default("/opt/parlant/backups");

/// Where `parlant-backup`, which declares it, writes its numbers: the alert rules look at them.
const BACKUP_METRICS_FILE: Variable = Variable::new("BACKUP_METRICS_FILE", "");

/// Everything that can be set, read once at the start.
pub(crate) struct Configuration {
    /// Where and how the server listens.
    pub(crate) api: parlant_api::Config,
    /// The bridge's own database.
    pub(crate) database: parlant_db_pool::Config,
    /// Who is admitted.
    pub(crate) auth: Auth,
    /// How health is watched and told.
    pub(crate) health: parlant_health::Config,
    /// Who is told of what.
    pub(crate) alerting: parlant_alerting::Config,
    /// How Sim is.
    pub(crate) sim_api: SimApi,
    /// How much a workspace and a user may have.
    pub(crate) limits: parlant_conversations::Limits,
    /// Where the engine is that answers, if there is one.
    pub(crate) engine: Option<parlant_engine::Config>,
    /// How long it may take.
    pub(crate) delivery: parlant_conversations::DeliveryConfig,
    /// What is logged.
    pub(crate) telemetry: parlant_telemetry::Config,
    /// Where backups are.
    pub(crate) backup_dir: PathBuf,
    /// Where their numbers are.
    pub(crate) backup_metrics: Option<PathBuf>,
}

impl Configuration {
    /// Reads everything; what is wrong is left in `settings`, which must be
    /// [finished](Settings::finish) before the result is used.
    pub(crate) fn from_settings(settings: &mut Settings) -> Self {
        let database = parlant_db_pool::Config::from_settings(settings);
        let auth = Auth::from_settings(settings, &database);
        let health = parlant_health::Config::from_settings(settings);
        Self {
            api: parlant_api::Config::from_settings(settings),
            sim_api: sim_api(settings, &auth, &health.sim_health_path),
            auth,
            database,
            health,
            alerting: parlant_alerting::Config::from_settings(settings),
            limits: parlant_conversations::Limits::from_settings(settings),
            engine: parlant_engine::Config::from_settings(settings),
            delivery: parlant_conversations::DeliveryConfig::from_settings(settings),
            backup_dir: settings.value(&BACKUP_DIR),
            backup_metrics: settings.optional(&BACKUP_METRICS_FILE),
            telemetry: parlant_telemetry::Config::from_settings(settings).with_file(settings),
        }
    }
}

/// The check of Sim. Where sessions are looked up in its tables, nobody need say where its web application is.
fn sim_api(settings: &mut Settings, auth: &Auth, path: &str) -> SimApi {
    let critical = match &auth.sessions {
        Sessions::Http(Some(_)) => true,
        Sessions::Database(_) if settings.is_set(&SIM_BASE_URL) => false,
        // Not wanted, or a problem already.
        Sessions::Database(_) | Sessions::Http(None) => return SimApi::unconfigured(),
    };
    let base_url: String = settings.value(&SIM_BASE_URL);
    SimApi::new(&base_url, path, critical).unwrap_or_else(|error| {
        settings.problem(&SIM_BASE_URL, error.to_string());
        SimApi::unconfigured()
    })
}
