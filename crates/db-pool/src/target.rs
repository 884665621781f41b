//! From a configuration to what to connect to, and how.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use parlant_settings::ExposeSecret;
use tokio_postgres::config::{Host, LoadBalanceHosts};

use crate::parameters::Parameters;
use crate::tls::Tls;
use crate::{Config, SslMode, dsn};

/// Why a configuration cannot be used. Never repeats a value of the URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a `postgres://` URL and not `key=value` pairs.
    #[error("is not a postgres:// URL or key=value string: {0}")]
    Syntax(&'static str),
    /// A parameter that this client does not know.
    #[error("has the parameter `{0}`, which is not known here")]
    UnknownParameter(String),
    /// A parameter whose value has no meaning here.
    #[error("has a value for `{parameter}` that cannot be used: {expected}")]
    Parameter {
        /// The parameter's name.
        parameter: &'static str,
        /// What would be understood.
        expected: &'static str,
    },
    /// Something else is wrong with the parameters.
    #[error("cannot be used")]
    Invalid(#[source] tokio_postgres::Error),
    /// The pool may hold no connection at all.
    #[error("leaves no room for a connection: pool_size and max_overflow are both 0")]
    NoConnections,
    /// `verify-ca` and `verify-full` without an authority to verify against.
    #[error(
        "sslmode {0} needs root certificates: set DATABASE_SSL_ROOT_CERT (or sslrootcert in the URL) to a file of \
         the authorities to trust or to `system`, or choose an sslmode that does not verify the server"
    )]
    NoRootCert(SslMode),
    /// `sslrootcert=system` with a mode that would not check the host name.
    #[error("weak sslmode {0} may not be used with sslrootcert=system (use verify-full)")]
    WeakSystem(SslMode),
    /// `sslnegotiation=direct` with a mode that may end up without TLS.
    #[error("weak sslmode {0} may not be used with sslnegotiation=direct (use require or stronger)")]
    WeakDirect(SslMode),
    /// The root certificates cannot be read.
    #[error("the root certificates cannot be read: {0}")]
    RootCert(String),
    /// `verify-full` with an address and no name to check the certificate against.
    #[error("sslmode verify-full needs a host name, not only hostaddr")]
    NoHostName,
}

impl ConfigError {
    /// Whether the root certificates, not the URL, are to blame.
    pub(crate) fn is_root_cert(&self) -> bool {
        matches!(self, Self::RootCert(_) | Self::NoRootCert(_))
    }
}

/// One server to try.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// None when only an address is given.
    pub(crate) host: Option<Host>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.address) {
            (Some(Host::Unix(path)), _) => write!(f, "{} (port {})", path.display(), self.port),
            (Some(Host::Tcp(name)), _) => write!(f, "{name}:{}", self.port),
            (None, Some(address)) => write!(f, "{address}:{}", self.port),
            (None, None) => write!(f, "port {}", self.port),
        }
    }
}

/// Everything needed to connect.
pub(crate) struct Target {
    /// Without hosts: those are tried one by one.
    pub(crate) postgres: tokio_postgres::Config,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) shuffle: bool,
    pub(crate) tls: Tls,
    /// For one address, when the URL says so.
    pub(crate) address_timeout: Option<Duration>,
    pub(crate) pgbouncer: bool,
}

/// Finds out that a server is gone after 30 + 3 x 10 seconds of silence instead of two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

impl Target {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let parameters = Parameters::read(dsn::parse(config.url.expose_secret())?)?;
        let mut postgres = parameters.postgres()?;
        if postgres.get_application_name().is_none() {
            let name = parameters.fallback_name.as_ref();
            postgres.application_name(name.unwrap_or(&config.application_name));
        }
        if !parameters.keepalives_given {
            postgres
                .keepalives_idle(KEEPALIVE_IDLE)
                .keepalives_interval(KEEPALIVE_INTERVAL)
                .keepalives_retries(KEEPALIVE_RETRIES);
        }
        let user_timeout = parameters.user_timeout.unwrap_or(config.command_timeout);
        if !user_timeout.is_zero() {
            postgres.tcp_user_timeout(user_timeout);
        }
        let endpoints = parameters.endpoints()?;
        let by_network = |one: &Endpoint| !matches!(one.host, Some(Host::Unix(_)));
        let tls = if endpoints.iter().any(by_network) {
            let roots = config.ssl_root_cert.as_ref();
            Tls::new(
                config.ssl_mode.or(parameters.ssl_mode),
                roots.or(parameters.ssl_root_cert.as_ref()),
                postgres.get_ssl_negotiation(),
            )?
        } else {
            Tls::none()?
        };
        if tls.mode == SslMode::VerifyFull && endpoints.iter().any(|one| one.host.is_none()) {
            return Err(ConfigError::NoHostName);
        }
        Ok(Self {
            shuffle: postgres.get_load_balance_hosts() == LoadBalanceHosts::Random,
            endpoints,
            postgres,
            tls,
            address_timeout: parameters.connect_timeout.filter(|time| !time.is_zero()),
            pgbouncer: parameters.pgbouncer,
        })
    }
}
