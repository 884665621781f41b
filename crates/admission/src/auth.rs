//! The variables of `parlant-auth-bridge`, which itself reads no environment: other services link it.

use std::sync::Arc;

use parlant_auth_bridge::{
    AuthBridge, Config, ConfigError, HttpConfig, HttpSource, JwtAlgorithm, JwtConfig, JwtKey, JwtVerifier, Source,
};
use parlant_db_pool as db_pool;
use parlant_settings::{FromSetting, Settings, Variable};

/// Where sessions are looked up.
pub const SOURCE: Variable = Variable::new(
    "AUTH_SOURCE",
    "Where sessions are looked up: `database` (Sim's tables, read-only) or `http` (Sim's get-session)",
)
.default("database");
/// Where Sim's tables are.
pub const SIM_DATABASE_URL: Variable =
    Variable::new("SIM_DATABASE_URL", "Database of Sim's tables; unset: the same as DATABASE_URL").secret();
/// Where Sim's web application is.
pub const SIM_BASE_URL: Variable = Variable::new(
    "SIM_BASE_URL",
    "Sim's address: sessions are looked up there with AUTH_SOURCE=http; otherwise only its health is watched, and only if this is set",
)
.default("http://localhost:3000");
/// What Sim signs sessions with.
pub const BETTER_AUTH_SECRET: Variable = Variable::new(
    "BETTER_AUTH_SECRET",
    "Sim's own; checks signed session tokens here, and lets raw tokens be asked about with AUTH_SOURCE=http",
)
.secret();
const JWT_SECRET_KEY: Variable =
    Variable::new("JWT_SECRET_KEY", "Admits JWTs signed with this secret (HS256)").secret();
const JWT_PUBLIC_KEY: Variable = Variable::new(
    "JWT_PUBLIC_KEY",
    "Admits JWTs signed with the private half of this PEM key; `\\n` may stand for line ends",
);
const JWT_JWKS_URL: Variable =
    Variable::new("JWT_JWKS_URL", "Admits JWTs signed with a key of the set at this address");
const JWT_ALGORITHM: Variable =
    Variable::new("JWT_ALGORITHM", "The only algorithm accepted: HS256, RS256, ES256 or EdDSA").default("HS256");
const JWT_ISSUER: Variable = Variable::new("JWT_ISSUER", "The `iss` that a JWT must have");
const JWT_AUDIENCE: Variable = Variable::new("JWT_AUDIENCE", "The `aud` that a JWT must have");
const ENABLE_CACHING: Variable =
    Variable::new("ENABLE_CACHING", "Whether looked-up sessions are remembered").default("true");
const CACHE_TTL: Variable = Variable::new("AUTH_CACHE_TTL", "Longest time that a looked-up session is believed")
    .alias(&["SESSION_CACHE_TTL"])
    .default("300s");
const CACHE_MAX_SIZE: Variable =
    Variable::new("SESSION_CACHE_MAX_SIZE", "Most sessions remembered, and, counted apart, most refused tokens")
        .default("1000");
const NEGATIVE_TTL: Variable =
    Variable::new("AUTH_NEGATIVE_TTL", "Longest time that a refusal is believed").default("2s");
const REVALIDATE_INTERVAL: Variable = Variable::new(
    "AUTH_REVALIDATE_INTERVAL",
    "How often the sessions in use are checked again with AUTH_SOURCE=database; 0: only after AUTH_CACHE_TTL",
)
.default("1s");
const STALE_IF_ERROR: Variable = Variable::new(
    "AUTH_STALE_IF_ERROR",
    "How long a remembered session is still admitted while Sim or its database cannot be asked; 0: not at all",
)
.default("60s");

/// Every variable that this crate reads.
pub const VARIABLES: &[Variable] = &[
    SOURCE,
    SIM_DATABASE_URL,
    SIM_BASE_URL,
    BETTER_AUTH_SECRET,
    JWT_SECRET_KEY,
    JWT_PUBLIC_KEY,
    JWT_JWKS_URL,
    JWT_ALGORITHM,
    JWT_ISSUER,
    JWT_AUDIENCE,
    ENABLE_CACHING,
    CACHE_TTL,
    CACHE_MAX_SIZE,
    NEGATIVE_TTL,
    REVALIDATE_INTERVAL,
    STALE_IF_ERROR,
];

/// Who is admitted, and where that is looked up.
pub struct Auth {
    config: Config,
    /// Where sessions are looked up.
    pub sessions: Sessions,
    verifier: Option<Arc<JwtVerifier>>,
}

/// Where sessions are looked up.
pub enum Sessions {
    /// Sim's tables, in the bridge's own database when no other is named.
    Database(Option<Box<db_pool::Config>>),
    /// Sim's `get-session`; nothing when its settings are wrong.
    Http(Option<Arc<HttpSource>>),
}

impl Auth {
    /// Reads [`VARIABLES`]. Sim's database is reached like the bridge's own, but for its URL.
    pub fn from_settings(settings: &mut Settings, database: &db_pool::Config) -> Self {
        let base_url: String = settings.value(&SIM_BASE_URL);
        let sim_database = settings.secret(&SIM_DATABASE_URL);
        let config = Config {
            caching: settings.value(&ENABLE_CACHING),
            cache_ttl: settings.value(&CACHE_TTL),
            cache_max_size: settings.value(&CACHE_MAX_SIZE),
            negative_ttl: settings.value(&NEGATIVE_TTL),
            revalidate_interval: settings.value(&REVALIDATE_INTERVAL),
            stale_if_error: settings.value(&STALE_IF_ERROR),
            better_auth_secret: settings.secret(&BETTER_AUTH_SECRET),
        };
        checked(settings, config.check());
        let jwt = jwt(settings);
        let sessions = match settings.value(&SOURCE) {
            SourceName::Database => {
                let config = sim_database.map(|url| db_pool::Config { url, name: Some("sim"), ..database.clone() });
                if let Some(Err(error)) = config.as_ref().map(db_pool::Config::check) {
                    settings.problem(&SIM_DATABASE_URL, error.to_string());
                }
                Sessions::Database(config.map(Box::new))
            }
            SourceName::Http => {
                if jwt.is_some() {
                    checked::<()>(settings, Err(ConfigError::JwtNeedsUsers { label: "http" }));
                }
                let source = HttpSource::new(&HttpConfig::new(base_url));
                Sessions::Http(checked(settings, source).map(Arc::new))
            }
        };
        let verifier = jwt.and_then(|config| checked(settings, JwtVerifier::new(&config)));
        Self { config, sessions, verifier: verifier.map(Arc::new) }
    }

    /// The bridge, over a source that was built from [`sessions`](Self::sessions).
    ///
    /// # Errors
    /// When [`from_settings`](Self::from_settings) left a problem.
    pub fn bridge(&self, source: Arc<dyn Source>) -> Result<AuthBridge, ConfigError> {
        match &self.verifier {
            Some(verifier) => AuthBridge::with_jwt(&self.config, source, Arc::clone(verifier) as _),
            None => AuthBridge::new(&self.config, source),
        }
    }
}

fn jwt(settings: &mut Settings) -> Option<JwtConfig> {
    let algorithm = settings.optional::<Algorithm>(&JWT_ALGORITHM)?.0;
    let issuer = settings.optional(&JWT_ISSUER);
    let audience = settings.optional(&JWT_AUDIENCE);
    let secret = settings.secret(&JWT_SECRET_KEY).map(JwtKey::Secret);
    let public_key = settings.optional(&JWT_PUBLIC_KEY).map(JwtKey::PublicKey);
    let jwks = settings.optional(&JWT_JWKS_URL).map(JwtKey::Jwks);
    let mut keys = [secret, public_key, jwks].into_iter().flatten();
    let key = keys.next()?;
    if keys.next().is_some() {
        settings.problem(&JWT_SECRET_KEY, "JWT_PUBLIC_KEY and JWT_JWKS_URL exclude each other");
    }
    Some(JwtConfig { key, algorithm, issuer, audience })
}

/// The value, or the error as a problem of the variable that is to blame.
fn checked<T>(settings: &mut Settings, result: Result<T, ConfigError>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let variable = match error {
        ConfigError::ShortSecret => &BETTER_AUTH_SECRET,
        ConfigError::JwtNeedsUsers { .. } => &SOURCE,
        ConfigError::BaseUrl | ConfigError::HttpClient(_) => &SIM_BASE_URL,
        ConfigError::ShortJwtSecret => &JWT_SECRET_KEY,
        ConfigError::JwtPublicKey => &JWT_PUBLIC_KEY,
        ConfigError::JwksUrl => &JWT_JWKS_URL,
        _ => &JWT_ALGORITHM,
    };
    settings.problem(variable, error.to_string());
    None
}

#[derive(Default)]
enum SourceName {
    #[default]
    Database,
    Http,
}

impl FromSetting for SourceName {
    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "database" => Ok(Self::Database),
            "http" => Ok(Self::Http),
            _ => Err("must be database or http".to_owned()),
        }
    }
}

struct Algorithm(JwtAlgorithm);

impl FromSetting for Algorithm {
    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: ConfigError| error.to_string())
    }
}
