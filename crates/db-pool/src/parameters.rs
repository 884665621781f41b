//! What each connection parameter means here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::Host;

use crate::dsn::Pairs;
use crate::target::Endpoint;
use crate::{ConfigError, SslMode};

/// Parameters of other clients (Prisma, Drizzle, node-postgres, JDBC) that share the URL and need nothing here, and
/// libpq's own that ask for what this client does anyway.
const IGNORED: &[&str] = &[
    "client_encoding",
    "connection_limit",
    "max_idle_connection_lifetime",
    "pool_timeout",
    "prepareThreshold",
    "single_use_connections",
    "socket_timeout",
    "sslcompression",
    "sslsni",
    "statement_cache_size",
    "uselibpqcompat",
];

/// Parameters that tokio-postgres reads as libpq does.
const PLAIN: &[&str] = &[
    "application_name",
    "channel_binding",
    "dbname",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "options",
    "password",
    "sslnegotiation",
    "target_session_attrs",
    "user",
];

/// The parameters of one connection string.
#[derive(Default)]
pub(crate) struct Parameters {
    /// For tokio-postgres, as a key-value string.
    plain: String,
    host: String,
    hostaddr: String,
    port: String,
    pub(crate) fallback_name: Option<String>,
    pub(crate) ssl_mode: Option<SslMode>,
    pub(crate) ssl_root_cert: Option<PathBuf>,
    /// For one address. None when not given; zero for no limit.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) pgbouncer: bool,
    pub(crate) keepalives_given: bool,
}

impl Parameters {
    pub(crate) fn read(pairs: Pairs) -> Result<Self, ConfigError> {
        let mut parameters = Self::default();
        for (name, value) in pairs {
            parameters.add(&name, value)?;
        }
        Ok(parameters)
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), ConfigError> {
        match name {
            "host" => self.host = value,
            "hostaddr" => self.hostaddr = value,
            "port" => self.port = value,
            _ if value.is_empty() || IGNORED.contains(&name) => {}
            "sslmode" => self.ssl_mode = Some(ssl_mode(&value)?),
            // libpq reads JDBC's spelling so.
            "ssl" if value == "true" => self.ssl_mode = Some(SslMode::Require),
            "sslrootcert" => self.ssl_root_cert = Some(value.into()),
            "connect_timeout" => {
                self.connect_timeout = Some(Duration::from_secs(number("connect_timeout", &value)?));
            }
            // Milliseconds, as in libpq; tokio-postgres would read seconds.
            "tcp_user_timeout" => {
                self.user_timeout = Some(Duration::from_millis(number("tcp_user_timeout", &value)?));
            }
            "pgbouncer" => self.pgbouncer = value == "true",
            "schema" if value == "public" => {}
            "schema" => {
                return Err(ConfigError::Parameter { parameter: "schema", expected: "only `public`" });
            }
            "gssencmode" if value != "require" => {}
            "fallback_application_name" => self.fallback_name = Some(value),
            "keepalives_count" | "keepalives_retries" => {
                self.keepalives_given = true;
                self.append("keepalives_retries", &value);
            }
            _ if PLAIN.contains(&name) => {
                self.keepalives_given |= name.starts_with("keepalives");
                self.append(name, &value);
            }
            _ => return Err(ConfigError::UnknownParameter(printable(name))),
        }
        Ok(())
    }

    fn append(&mut self, name: &str, value: &str) {
        let value = value.replace('\\', r"\\").replace('\'', r"\'");
        self.plain.extend([name, "='", value.as_str(), "' "]);
    }

    /// What tokio-postgres shall do, without hosts.
    pub(crate) fn postgres(&self) -> Result<tokio_postgres::Config, ConfigError> {
        self.plain.parse().map_err(ConfigError::Invalid)
    }

    /// The servers, in order.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, ConfigError> {
        let hosts = list(&self.host);
        let addresses = list(&self.hostaddr);
        let ports = list(&self.port);
        let count = hosts.len().max(addresses.len());
        if count == 0 {
            return Err(ConfigError::Parameter {
                parameter: "host",
                expected: "a host name, an address or a socket directory",
            });
        }
        if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
            return Err(ConfigError::Parameter { parameter: "hostaddr", expected: "as many as hosts" });
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(ConfigError::Parameter { parameter: "port", expected: "one, or as many as hosts" });
        }
        (0..count)
            .map(|index| {
                let host = hosts.get(index).filter(|host| !host.is_empty());
                let address = addresses.get(index).filter(|address| !address.is_empty());
                if host.is_none() && address.is_none() {
                    return Err(ConfigError::Parameter {
                        parameter: "host",
                        expected: "a host name, an address or a socket directory",
                    });
                }
                Ok(Endpoint {
                    host: host.map(|host| {
                        if host.starts_with('/') { Host::Unix(host.into()) } else { Host::Tcp((*host).to_owned()) }
                    }),
                    address: address.map(|address| ip(address)).transpose()?,
                    port: port(ports.get(index).or(ports.first()).copied())?,
                })
            })
            .collect()
    }
}

fn list(text: &str) -> Vec<&str> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(str::trim).collect()
}

fn ip(text: &str) -> Result<IpAddr, ConfigError> {
    text.parse().map_err(|_| ConfigError::Parameter { parameter: "hostaddr", expected: "a numeric address" })
}

fn port(text: Option<&str>) -> Result<u16, ConfigError> {
    match text {
        None | Some("") => Ok(5432),
        Some(text) => {
            text.parse().map_err(|_| ConfigError::Parameter { parameter: "port", expected: "a number from 1 to 65535" })
        }
    }
}

fn number(parameter: &'static str, text: &str) -> Result<u64, ConfigError> {
    text.parse().map_err(|_| ConfigError::Parameter { parameter, expected: "a whole number of 0 or more" })
}

fn ssl_mode(text: &str) -> Result<SslMode, ConfigError> {
    match text {
        // node-postgres' name for what libpq calls `require`.
        "no-verify" => Ok(SslMode::Require),
        _ => text.parse().map_err(|_| ConfigError::Parameter { parameter: "sslmode", expected: SslMode::NAMES }),
    }
}

/// The name, if it can be one: it may as well be a piece of something secret in the wrong place.
fn printable(name: &str) -> String {
    let plain = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if plain { name } else { "(unprintable)" }.to_owned()
}
