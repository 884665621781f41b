pub(crate) mod auth;

use parlant_settings::{Settings, Variable};

use auth::Auth;

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
    Group { title: "Admitting Sim's users", variables: auth::VARIABLES },
    Group { title: "Limits", variables: parlant_conversations::VARIABLES },
    Group { title: "Logs", variables: parlant_telemetry::VARIABLES },
    Group { title: "Development (`dev` only)", variables: crate::dev::VARIABLES },
];

/// Everything that can be set, read once at the start.
pub(crate) struct Configuration {
    /// Where and how the server listens.
    pub(crate) api: parlant_api::Config,
    /// The bridge's own database.
    pub(crate) database: parlant_db_pool::Config,
    /// Who is admitted.
    pub(crate) auth: Auth,
    /// How much a workspace and a user may have.
    pub(crate) limits: parlant_conversations::Limits,
    /// What is logged.
    pub(crate) telemetry: parlant_telemetry::Config,
}

impl Configuration {
    /// Reads everything; what is wrong is left in `settings`, which must be
    /// [finished](Settings::finish) before the result is used.
    pub(crate) fn from_settings(settings: &mut Settings) -> Self {
        let database = parlant_db_pool::Config::from_settings(settings);
        Self {
            api: parlant_api::Config::from_settings(settings),
            auth: Auth::from_settings(settings, &database),
            database,
            limits: parlant_conversations::Limits::from_settings(settings),
            telemetry: parlant_telemetry::Config::from_settings(settings).with_file(settings),
        }
    }
}
