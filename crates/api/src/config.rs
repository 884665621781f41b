use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use parlant_settings::{Secret, Settings, Variable};
use url::Url;

use crate::{RateLimit, TrustedProxies};

/// The address to listen on.
pub const HOST: Variable =
    Variable::new("HOST", "IP address to listen on; a socket that systemd hands over comes before HOST and PORT")
        .default("0.0.0.0");
/// The port to listen on.
pub const PORT: Variable = Variable::new("PORT", "Port to listen on; 0 takes a free one").default("8001");
/// The number of worker threads.
const WORKERS: Variable = Variable::new("WORKERS", "Threads that serve requests; unset: one for each core");
/// The origins whose pages may call.
const CORS_ORIGINS: Variable = Variable::new(
    "CORS_ORIGINS",
    "Origins whose pages may call, such as `https://sim.example.com`, comma-separated; unset: none",
);
/// Who is believed about `X-Forwarded-For`.
const TRUSTED_PROXIES: Variable = Variable::new(
    "TRUSTED_PROXIES",
    "Addresses and networks of the proxies in front, whose `X-Forwarded-For` is believed, such as `10.0.0.0/8, fd00::/8`, \
        comma-separated; unset: nobody's is",
);
/// How much may be asked in the long run.
pub const RATE_LIMIT_PER_MINUTE: Variable = Variable::new(
    "RATE_LIMIT_PER_MINUTE",
    "Requests a minute of one credential or, without a good one, of one address; 0: any number, and nothing of the \
        kind is limited",
)
.default("600");
/// How much may be asked at once.
pub const RATE_LIMIT_BURST: Variable =
    Variable::new("RATE_LIMIT_BURST", "How many of them may come at once; 0: any number").default("200");
/// How many bad credentials an address may present.
pub const RATE_LIMIT_INVALID_TOKENS: Variable = Variable::new(
    "RATE_LIMIT_INVALID_TOKENS",
    "Different invalid credentials a minute from one address, before unknown ones from there are refused unasked; \
        0: any number",
)
.default("100");
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
pub const VARIABLES: &[Variable] = &[
    HOST,
    PORT,
    WORKERS,
    CORS_ORIGINS,
    TRUSTED_PROXIES,
    RATE_LIMIT_PER_MINUTE,
    RATE_LIMIT_BURST,
    RATE_LIMIT_INVALID_TOKENS,
    SHUTDOWN_GRACE,
    METRICS_ENABLED,
    METRICS_TOKEN,
    METRICS_ADDR,
];

/// The largest limit: with it and the smallest number a minute, a bucket is full after two years, and all arithmetic
/// on nanoseconds is far from its end.
const MOST: u32 = 1_000_000;

/// How HTTP is served.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen, for whoever binds the socket.
    pub address: SocketAddr,
    /// Threads that serve requests.
    pub workers: NonZeroUsize,
    /// Origins whose pages may call, each exactly as a browser writes it.
    pub cors_origins: Vec<String>,
    /// Who is believed about whom requests come from.
    pub trusted_proxies: TrustedProxies,
    /// How much may be asked; `None` is without end.
    pub rate_limit: Option<RateLimit>,
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
            trusted_proxies: TrustedProxies::default(),
            rate_limit: NonZeroU32::new(600).zip(NonZeroU32::new(200)).map(|(per_minute, burst)| RateLimit {
                per_minute,
                burst,
                invalid_tokens: NonZeroU32::new(100),
            }),
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
            trusted_proxies: settings.optional(&TRUSTED_PROXIES).unwrap_or_default(),
            rate_limit: rate_limit(settings),
            shutdown_grace: settings.value(&SHUTDOWN_GRACE),
            metrics_enabled: settings.value(&METRICS_ENABLED),
            metrics_token: settings.secret(&METRICS_TOKEN),
            metrics_address: settings.optional(&METRICS_ADDR),
        }
    }
}

fn rate_limit(settings: &mut Settings) -> Option<RateLimit> {
    let mut number = |variable| {
        let number = settings.value::<u32>(variable);
        if number > MOST {
            settings.problem(variable, format!("must be at most {MOST}"));
        }
        NonZeroU32::new(number.min(MOST))
    };
    let (per_minute, burst) = (number(&RATE_LIMIT_PER_MINUTE), number(&RATE_LIMIT_BURST));
    let invalid_tokens = number(&RATE_LIMIT_INVALID_TOKENS);
    Some(RateLimit { per_minute: per_minute?, burst: burst?, invalid_tokens })
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
            ("TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            ("RATE_LIMIT_PER_MINUTE", "60"),
            ("RATE_LIMIT_BURST", "20"),
            ("RATE_LIMIT_INVALID_TOKENS", "0"),
            ("SHUTDOWN_GRACE", "5s"),
            ("METRICS_ENABLED", "off"),
            ("METRICS_TOKEN", "let me see"),
            ("METRICS_ADDR", "[::1]:9464"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(config.address.to_string(), "[::1]:0");
        assert_eq!(config.workers.get(), 3);
        assert_eq!(config.cors_origins, ["https://a.example", "http://localhost:3000"]);
        assert_eq!(format!("{:?}", config.trusted_proxies), "TrustedProxies([10.0.0.0/8, ::1/128])");
        let limit = config.rate_limit.unwrap();
        assert_eq!((limit.per_minute.get(), limit.burst.get(), limit.invalid_tokens), (60, 20, None));
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
    fn without_a_number_there_is_no_limit_and_absurd_ones_are_problems() {
        for off in ["RATE_LIMIT_PER_MINUTE", "RATE_LIMIT_BURST"] {
            let (config, problems) = read(&[(off, "0")]);
            assert!(config.rate_limit.is_none() && problems.is_empty(), "{problems:?}");
        }
        for (name, value) in [
            ("RATE_LIMIT_PER_MINUTE", "1000001"),
            ("RATE_LIMIT_BURST", "4294967295"),
            ("RATE_LIMIT_INVALID_TOKENS", "-1"),
            ("TRUSTED_PROXIES", "nginx"),
            ("TRUSTED_PROXIES", "10.0.0.0/8 10.1.0.0/8"),
        ] {
            let (_, problems) = read(&[(name, value)]);
            assert_eq!(problems.len(), 1, "{name}={value}: {problems:?}");
            assert!(problems[0].starts_with(name), "{problems:?}");
        }
    }

    #[test]
    fn no_workers_cannot_serve() {
        assert_eq!(read(&[("WORKERS", "0"), ("HOST", "localhost")]).1.len(), 2);
    }
}
