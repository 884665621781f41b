//! The bridge's database: whether it can be reached, what the role may do there, and who is in whose way.

mod activity;
mod budget;
mod connect;
mod grants;

use std::time::Duration;

use parlant_db_pool::Client;
use tokio::time::Instant;

use crate::doctor::kinds::{
    CONFIGURATION_INVALID, DATABASE_SLOW, DATABASE_STANDBY, DATABASE_UNENCRYPTED, DATABASE_UNREADABLE,
};
use crate::doctor::sheet::Sheet;
use crate::doctor::{Config, schema, shell};

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

/// Looks at the database, and at the schema and the clock behind the same connection.
pub(crate) async fn look(config: &Config) -> Sheet {
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
        let said =
            std::error::Error::source(&error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        let finding = DATABASE_UNREADABLE.broken("The database cannot be looked at").evidence(said);
        sheet.find(finding.mend("journalctl -u postgresql --since -30min   # on the database's host"));
    }
    sheet
}

async fn examine(config: &Config, client: &Client, sheet: &mut Sheet) -> Result<(), tokio_postgres::Error> {
    ping(client, sheet).await?;
    client.batch_execute(LIMITED).await?;
    // Sent together: over a slow network, a round trip for all of them.
    let (server, grants, budget, activity) = tokio::join!(
        client.query_typed_one(SERVER, &[]),
        grants::look(client, config),
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
    Ok(())
}
