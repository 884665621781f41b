//! The same connections for PostgreSQL's own programs (`pg_dump`, `pg_restore`, `psql`).

use std::collections::BTreeMap;

use parlant_settings::ExposeSecret;
use tokio_postgres::config::Host;

use crate::parameters::Parameters;
use crate::{Config, ConfigError, dsn};

/// Parameters and the variables in which libpq looks for them.
const VARIABLES: [(&str, &str); 13] = [
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("options", "PGOPTIONS"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("user", "PGUSER"),
];

impl Config {
    /// A configuration for each server that the URL names, in its order: for those who have to know which of them
    /// they reached, because a program they call must reach the same.
    pub fn servers(&self) -> Result<Vec<Self>, ConfigError> {
        let pairs = dsn::parse(self.url.expose_secret())?;
        let endpoints = Parameters::read(pairs.clone())?.endpoints()?;
        let mut rest = pairs;
        rest.retain(|(name, _)| !["host", "hostaddr", "port"].contains(&name.as_str()));
        let one = |endpoint: crate::target::Endpoint| {
            let host = endpoint.host.map(|host| match host {
                Host::Tcp(name) => name,
                Host::Unix(path) => path.to_string_lossy().into_owned(),
            });
            let server = [
                ("host", host),
                ("hostaddr", endpoint.address.map(|address| address.to_string())),
                ("port", Some(endpoint.port.to_string())),
            ];
            let server = server.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let all = rest.iter().map(|(name, value)| (name.as_str(), value.clone())).chain(server);
            let quoted = |(name, value): (&str, String)| {
                format!("{name}='{}' ", value.replace('\\', r"\\").replace('\'', r"\'"))
            };
            Self { url: all.map(quoted).collect::<String>().into(), ..self.clone() }
        };
        Ok(endpoints.into_iter().map(one).collect())
    }

    /// The environment in which libpq's programs connect as [`connect`](crate::connect()) does; it holds the password.
    /// The environment of a process can be read by its own user alone, its arguments by everybody.
    pub fn libpq_environment(&self) -> Result<Vec<(&'static str, String)>, ConfigError> {
        let pairs = dsn::parse(self.url.expose_secret())?;
        let parameters = Parameters::read(pairs.clone())?;
        let mut values: BTreeMap<&str, String> = pairs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let name = parameters.fallback_name.as_ref().unwrap_or(&self.application_name);
        values.entry("application_name").or_insert_with(|| name.clone());
        // libpq takes shorter ones for 2 seconds.
        values.entry("connect_timeout").or_insert_with(|| self.connection_timeout.as_secs().max(2).to_string());
        let mut environment: Vec<_> = VARIABLES
            .into_iter()
            .filter_map(|(parameter, variable)| Some((variable, values.remove(parameter)?)))
            .collect();
        let ssl_mode = self.ssl_mode.or(parameters.ssl_mode).unwrap_or_default();
        environment.push(("PGSSLMODE", ssl_mode.to_string()));
        if let Some(file) = self.ssl_root_cert.as_ref().or(parameters.ssl_root_cert.as_ref()) {
            environment.push(("PGSSLROOTCERT", file.to_string_lossy().into_owned()));
        }
        environment.push(("PGGSSENCMODE", "disable".to_owned()));
        Ok(environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_of_a_url_becomes_a_configuration_of_its_own() -> Result<(), ConfigError> {
        let config =
            Config::new("postgres://u:p%27%5C@one,two:5433/db?target_session_attrs=read-write&sslmode=require");
        let environments = config.servers()?.iter().map(Config::libpq_environment).collect::<Result<Vec<_>, _>>()?;
        for (environment, (host, port)) in environments.iter().zip([("one", "5432"), ("two", "5433")]) {
            let value = |name| environment.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
            assert_eq!(value("PGHOST"), Some(host));
            assert_eq!(value("PGPORT"), Some(port));
            assert_eq!(value("PGPASSWORD"), Some("p'\\"));
            assert_eq!(value("PGDATABASE"), Some("db"));
            assert_eq!(value("PGTARGETSESSIONATTRS"), Some("read-write"));
            assert_eq!(value("PGSSLMODE"), Some("require"));
            assert_eq!(value("PGSSLROOTCERT"), None);
        }
        assert_eq!(environments.len(), 2);
        Ok(())
    }

    #[test]
    fn the_configuration_wins_over_the_url_for_programs_too() -> Result<(), ConfigError> {
        let mut config = Config::new("host=/run/postgresql user=u dbname=d sslmode=disable");
        config.ssl_mode = Some(crate::SslMode::VerifyFull);
        config.ssl_root_cert = Some("/ca.pem".into());
        let environment = config.libpq_environment()?;
        assert!(environment.contains(&("PGSSLMODE", "verify-full".to_owned())));
        assert!(environment.contains(&("PGSSLROOTCERT", "/ca.pem".to_owned())));
        assert!(environment.contains(&("PGHOST", "/run/postgresql".to_owned())));
        assert!(environment.contains(&("PGAPPNAME", "parlant-server".to_owned())));
        Ok(())
    }
}
