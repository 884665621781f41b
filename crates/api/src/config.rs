use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use parlant_settings::{Secret, Settings, Variable};
use url::Url;

/// The address to listen on.
pub const HOST: Variable = Variable::new("HOST", "IP address to listen on").default("0.0.0.0");
/// The port to listen on.
pub const PORT: Variable = Variable::new("PORT", "Port to listen on; 0 takes a free one").default("8001");
/// The number of worker threads.
const WORKERS: Variable = Variable::new("WORKERS", "Threads that serve requests; unset: one for each core");
/// The origins whose pages may call.
const CORS_ORIGINS: Variable = Variable::new(
    "CORS_ORIGINS",
    "Origins whose pages may call, such as `https://sim.example.com`, comma-separated; unset: none",
);
/// How long a stop waits.
const SHUTDOWN_GRACE: Variable =
    Variable::new("SHUTDOWN_GRACE", "How long requests in progress may take to end when the server is stopped")
        .default("30s");

/// Whether anybody may scrape.
const METRICS_ENABLED: Variable = Variable::new("METRICS_ENABLED", "Whether `/metrics` answers").default("true");
/// Who may scrape.
const METRICS_TOKEN: Variable =
    Variable::new("METRICS_TOKEN", "Bearer token that a scraper must send; unset: none is needed").secret();
/// Where else to scrape.
const METRICS_ADDR: Variable = Variable::new(
    "METRICS_ADDR",
    "Address of a listener of its own for `/metrics`, such as `127.0.0.1:9464`, beside the main port; unset: none",
);

/// The variables that this crate reads.
pub const VARIABLES: &[Variable] =
    &[HOST, PORT, WORKERS, CORS_ORIGINS, SHUTDOWN_GRACE, METRICS_ENABLED, METRICS_TOKEN, METRICS_ADDR];

/// How HTTP is served.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen, for whoever binds the socket.
    pub address: SocketAddr,
    /// Threads that serve requests.
    pub workers: NonZeroUsize,
    /// Origins whose pages may call, each exactly as a browser writes it.
    pub cors_origins: Vec<String>,
    /// How long a graceful stop waits for requests in progress.
    pub shutdown_grace: Duration,
    /// Whether `/metrics` answers anywhere.
    pub metrics_enabled: bool,
    /// What a scraper must bear.
    pub metrics_token: Option<Secret>,
    /// Where `/metrics` also answers, for whoever binds the socket.
    pub metrics_address: Option<SocketAddr>,
}

impl Default for Config {
    /// What holds when nothing is configured.
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::UNSPECIFIED, 8001).into(),
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            cors_origins: Vec::new(),
            shutdown_grace: Duration::from_secs(30),
            metrics_enabled: true,
            metrics_token: None,
            metrics_address: None,
        }
    }
}

impl Config {
    /// Reads [`VARIABLES`].
    pub fn from_settings(settings: &mut Settings) -> Self {
        let default = Self::default();
        let host = settings.optional::<IpAddr>(&HOST);
        let port = settings.optional::<u16>(&PORT);
        let address = SocketAddr::new(host.unwrap_or(default.address.ip()), port.unwrap_or(default.address.port()));
        let workers = settings.optional::<usize>(&WORKERS).map(NonZeroUsize::new);
        if workers == Some(None) {
            settings.problem(&WORKERS, "must be at least 1");
        }
        let origins = settings.optional::<String>(&CORS_ORIGINS).unwrap_or_default();
        let cors_origins: Vec<String> =
            origins.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(str::to_owned).collect();
        for origin in &cors_origins {
            if let Some(expected) = wrong_origin(origin) {
                settings.problem(&CORS_ORIGINS, format!("`{origin}` {expected}"));
            }
        }
        Self {
            address,
            workers: workers.flatten().unwrap_or(default.workers),
            cors_origins,
            shutdown_grace: settings.value(&SHUTDOWN_GRACE),
            metrics_enabled: settings.value(&METRICS_ENABLED),
            metrics_token: settings.secret(&METRICS_TOKEN),
            metrics_address: settings.optional(&METRICS_ADDR),
        }
    }
}

/// What is wrong with an origin. Browsers send one spelling only, and origins are compared as text.
fn wrong_origin(origin: &str) -> Option<String> {
    let serialized = match Url::parse(origin) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && !origin.contains('*') => {
            url.origin().ascii_serialization()
        }
        _ => return Some("must be a scheme and a host, such as `https://sim.example.com`".into()),
    };
    (serialized != origin).then(|| format!("must be written as browsers do: `{serialized}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Config, Vec<String>) {
        let mut settings = Settings::from_pairs(pairs.iter().copied());
        let config = Config::from_settings(&mut settings);
        let problems = match settings.finish() {
            Ok(()) => Vec::new(),
            Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
        };
        (config, problems)
    }

    #[test]
    fn nothing_configured_is_the_default() {
        let (config, problems) = read(&[]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn values_are_taken_over() {
        let (config, problems) = read(&[
            ("HOST", "::1"),
            ("PORT", "0"),
            ("WORKERS", "3"),
            ("CORS_ORIGINS", "https://a.example, http://localhost:3000,"),
            ("SHUTDOWN_GRACE", "5s"),
            ("METRICS_ENABLED", "off"),
            ("METRICS_TOKEN", "let me see"),
            ("METRICS_ADDR", "[::1]:9464"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(config.address.to_string(), "[::1]:0");
        assert_eq!(config.workers.get(), 3);
        assert_eq!(config.cors_origins, ["https://a.example", "http://localhost:3000"]);
        assert_eq!(config.shutdown_grace, Duration::from_secs(5));
        assert!(!config.metrics_enabled && config.metrics_token.is_some());
        assert_eq!(config.metrics_address.map(|address| address.port()), Some(9464));
        assert!(!format!("{config:?}").contains("let me see"));
    }

    #[test]
    fn an_origin_that_no_browser_sends_is_a_problem() {
        for bad in [
            "*",
            "null",
            "sim.example.com",
            "https://sim.example.com/",
            "https://sim.example.com/path",
            "https://Sim.example.com",
            "https://sim.example.com:443",
            "https://*.example.com",
            "https://user@sim.example.com",
            "ftp://sim.example.com",
            "file:///tmp",
        ] {
            let (_, problems) = read(&[("CORS_ORIGINS", bad)]);
            assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
        }
    }

    #[test]
    fn no_workers_cannot_serve() {
        assert_eq!(read(&[("WORKERS", "0"), ("HOST", "localhost")]).1.len(), 2);
    }
}
