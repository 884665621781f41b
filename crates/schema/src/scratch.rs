use std::time::Duration;

use chrono::{DateTime, Utc};
use parlant_db_pool::Config;
use parlant_settings::{ExposeSecret, Secret};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::error::{DatabaseError, Error};

const LEFTOVERS: &str = "-- leftovers
select d.datname::text
from pg_catalog.pg_database d
where starts_with(d.datname::text, 'parlant_plan_') and pg_catalog.pg_has_role(d.datdba, 'USAGE')";

const NAME: &str = "parlant_plan_";

/// A scratch database older than this was left behind by a run that was killed.
const LEFTOVER: Duration = Duration::from_hours(1);

/// A database that lives as long as one `plan`.
pub(crate) struct Scratch {
    server: Client,
    name: String,
}

impl Scratch {
    /// Makes an empty database on the server of `config`, after dropping what killed runs left there.
    pub(crate) async fn create(config: &Config, now: DateTime<Utc>) -> Result<Self, Error> {
        let server = parlant_db_pool::connect(config).await?;
        for row in server.query_typed(LEFTOVERS, &[]).await? {
            let leftover: String = row.try_get(0)?;
            if is_leftover(&leftover, now)
                && let Err(problem) = drop_database(&server, &leftover).await
            {
                tracing::warn!("The leftover database {leftover} stays: {}", DatabaseError::new(&problem, ""));
            }
        }
        let name = format!("{NAME}{}", Uuid::now_v7().simple());
        server.batch_execute(&format!("-- create_scratch\ncreate database {name} template template0")).await.map_err(
            |problem| match problem.code() {
                Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Error::NoScratch,
                _ => problem.into(),
            },
        )?;
        Ok(Self { server, name })
    }

    /// The same connection settings, in the scratch database.
    pub(crate) fn config(&self, config: &Config) -> Config {
        Config { url: in_database(config.url.expose_secret(), &self.name), ..config.clone() }
    }

    /// Ends every session in it and drops it.
    pub(crate) async fn remove(self) -> Result<(), Error> {
        Ok(drop_database(&self.server, &self.name).await?)
    }
}

async fn drop_database(server: &Client, name: &str) -> Result<(), tokio_postgres::Error> {
    server.batch_execute(&format!("-- drop_scratch\ndrop database if exists \"{name}\" with (force)")).await
}

/// The name carries its birth: a `UUIDv7` begins with the time. Anything else that has the prefix is not ours.
fn is_leftover(name: &str, now: DateTime<Utc>) -> bool {
    let born = name
        .strip_prefix(NAME)
        .and_then(|id| Uuid::try_parse(id).ok())
        .and_then(|id| id.get_timestamp())
        .and_then(|time| i64::try_from(time.to_unix().0).ok())
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    born.is_some_and(|born| (now - born).to_std().is_ok_and(|age| age > LEFTOVER))
}

/// The last `dbname` counts in both forms of a connection string.
fn in_database(url: &str, name: &str) -> Secret {
    let separator = match url.split_once("://") {
        None => " ",
        Some((_, rest)) => {
            // A password may have a `?` of its own; credentials end with the first `@` before any `/`.
            let place = rest.find(['@', '/']).and_then(|at| rest.get(at..)).unwrap_or(rest);
            if place.contains('?') { "&" } else { "?" }
        }
    };
    format!("{url}{separator}dbname={name}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_old_database_with_a_name_of_ours_is_a_leftover() {
        let name = |id: &str| format!("{NAME}{id}");
        // Born 2024-01-01T00:00:00Z.
        let ours = name("018cc251f40070008000000000000000");
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert!(is_leftover(&ours, at("2024-01-01T01:00:02Z")));
        assert!(!is_leftover(&ours, at("2024-01-01T00:59:58Z")));
        assert!(!is_leftover(&ours, at("2023-12-31T00:00:00Z")), "a clock that went back");
        assert!(!is_leftover(&name("of_somebody"), at("2030-01-01T00:00:00Z")));
        assert!(!is_leftover(&name(&Uuid::nil().simple().to_string()), at("2030-01-01T00:00:00Z")));
    }

    #[test]
    fn the_last_database_name_wins_in_every_form_of_url() {
        for url in [
            "postgres://me:pw@localhost:5432/one",
            "postgres://me:pw@localhost",
            "postgres://me:p?w@localhost/one",
            "postgres://me:pw@localhost?application_name=a@b",
            "postgres://localhost/one?sslmode=disable",
            "host=localhost user=me dbname=one",
        ] {
            let scratch = in_database(url, "two");
            let config: tokio_postgres::Config = scratch.expose_secret().parse().unwrap();
            assert_eq!(config.get_dbname(), Some("two"), "{url}");
        }
    }
}
