//! The bridge's database: whether it can be reached, what the role may do there, and who is in whose way.

mod activity;
mod budget;
mod connect;
mod grants;

use std::error::Error as _;
use std::time::Duration;

use parlant_admission::Sessions;
use parlant_db_pool::{self as db_pool, Client};
use tokio::time::Instant;

use crate::doctor::kinds::{
    CLOCK_DATABASE, CONFIGURATION_INVALID, DATABASE_SLOW, DATABASE_STANDBY, DATABASE_UNENCRYPTED, DATABASE_UNREADABLE,
};
use crate::doctor::sheet::Sheet;
use crate::doctor::{Config, Finding, clock, schema, shell};

/// A round trip that takes longer is slow, as the server's own check has it.
const SLOW: Duration = Duration::from_secs(1);

/// Nothing is changed, and nobody waits for long: what is looked at may be locked.
const LIMITED: &str = "-- doctor
begin read only; set local statement_timeout = '3s'; set local lock_timeout = '1s'";

const SERVER: &str = "-- doctor_server
select pg_is_in_recovery() or current_setting('default_transaction_read_only') = 'on' as read_only,
    (select ssl from pg_stat_ssl where pid = pg_backend_pid()) as encrypted,
    coalesce(inet_client_addr() <<= '127.0.0.0/8' or inet_client_addr() = '::1' or inet_client_addr() = inet_server_addr(),
        true) as local";

/// Looks at the database, and at the schema and the clock behind the same connection; and at Sim's, where that is another.
pub(crate) async fn look(config: &Config) -> Sheet {
    let (mut sheet, sim) = tokio::join!(bridge(config), sim(config));
    sheet.append(sim);
    sheet
}

async fn bridge(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    if config.database.check().is_err() {
        sheet.blame("database", CONFIGURATION_INVALID.id);
        sheet.blame("schema", CONFIGURATION_INVALID.id);
        return sheet;
    }
    let client = match connect::connect(&config.database).await {
        Ok(client) => client,
        Err(finding) => {
            sheet.blame("schema", finding.id);
            sheet.find(finding);
            return sheet;
        }
    };
    if let Err(error) = examine(config, &client, &mut sheet).await {
        sheet.find(unreadable(&error));
    }
    sheet
}

/// Sim's tables in a database of their own.
async fn sim(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    let Sessions::Database(Some(elsewhere)) = &config.auth.sessions else { return sheet };
    if elsewhere.check().is_err() {
        return sheet;
    }
    let elsewhere =
        db_pool::Config { application_name: config.database.application_name.clone(), ..(**elsewhere).clone() };
    match connect::connect(&elsewhere).await {
        Ok(client) => match grants::look(&client, false, true).await {
            Ok(found) => sheet.append(found),
            Err(error) => sheet.find(unreadable(&error)),
        },
        Err(finding) => sheet.find(finding),
    }
    for finding in &mut sheet.findings {
        finding.evidence.push("this is the database of SIM_DATABASE_URL".to_owned());
    }
    sheet
}

fn unreadable(error: &tokio_postgres::Error) -> Finding {
    let said = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    let finding = DATABASE_UNREADABLE.broken("The database cannot be looked at").evidence(said);
    finding.mend("journalctl -u postgresql --since -30min   # on the database's host")
}

async fn examine(config: &Config, client: &Client, sheet: &mut Sheet) -> Result<(), tokio_postgres::Error> {
    ping(client, sheet).await?;
    client.batch_execute(LIMITED).await?;
    // Sent together: over a slow network, a round trip for all of them.
    let (server, grants, budget, activity) = tokio::join!(
        client.query_typed_one(SERVER, &[]),
        grants::look(client, true, matches!(config.auth.sessions, Sessions::Database(None))),
        budget::look(client, &config.database),
        activity::look(client),
    );
    let server = server?;
    if server.try_get("read_only")? {
        let mend = shell::psql("select pg_is_in_recovery(), current_setting('default_transaction_read_only')");
        sheet.find(DATABASE_STANDBY.broken("The database takes no writes").mend(mend));
    }
    let (encrypted, local): (Option<bool>, bool) = (server.try_get("encrypted")?, server.try_get("local")?);
    if encrypted == Some(false) && !local {
        let finding = DATABASE_UNENCRYPTED.warning("Tokens and messages cross the network unencrypted");
        sheet.find(
            finding.mend("DATABASE_SSL_MODE=verify-full DATABASE_SSL_ROOT_CERT=system parlant-server check-config"),
        );
    }
    for part in [grants?, budget?, activity?] {
        sheet.append(part);
    }
    sheet.append(schema::look(client).await);
    client.batch_execute("rollback").await
}

/// The shorter of two round trips: the first may wait for a process to wake.
async fn ping(client: &Client, sheet: &mut Sheet) -> Result<(), tokio_postgres::Error> {
    let mut shortest = Duration::MAX;
    for _ in 0..2 {
        let begun = Instant::now();
        client.check_connection().await?;
        shortest = shortest.min(begun.elapsed());
    }
    if shortest > SLOW {
        let finding = DATABASE_SLOW.warning("The database answers slowly");
        let finding = finding.evidence(format!("an empty statement takes {:.1} s from here", shortest.as_secs_f64()));
        sheet.find(finding.mend("ping -c 5 DATABASE_HOST; uptime   # the latter on the database's host"));
    }
    let begun = Instant::now();
    let theirs = client.query_typed_one("-- doctor_clock\nselect clock_timestamp()", &[]).await?.try_get(0)?;
    clock::compare(sheet, &CLOCK_DATABASE, "The database's", theirs, begun.elapsed());
    Ok(())
}
