//! `LISTEN` and `NOTIFY` over one connection, made again whenever it is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::connect::{Connector, Driver};
use crate::reserve::pause;
use crate::target::Target;
use crate::{Config, ConfigError, Error};

/// After so long a silence the listener notifies itself, to find out whether it still hears.
const QUIET: Duration = Duration::from_secs(10);
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens on a channel of `NOTIFY`. A connection that is lost is made again; one that is dead without saying so is
/// noticed within 15 s.
pub struct Listener {
    connector: Connector,
    channel: &'static str,
    budget: Duration,
    connection: Option<Connection>,
    client: watch::Sender<Option<Arc<Client>>>,
}

struct Connection {
    /// Ends the connection with this.
    _driver: Driver,
    /// Never long: who listens does little else.
    payloads: UnboundedReceiver<String>,
    /// It was silent, and something is on its way from ourselves.
    tested: bool,
}

/// What a [`Listener`] hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// From here on nothing is missed. What was sent before may have been.
    Connected,
    /// From here on everything is missed.
    Lost,
    /// The payload of a notification, which may be one's own.
    Notification(String),
}

impl Listener {
    /// A listener on the channel of that name, an SQL identifier. It connects with the hosts, TLS and time limit that a
    /// pool would use. None where a transaction-pooling `PgBouncer` is in between, by the configuration: it would lend
    /// the connection that listens to others.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: &Config, channel: &'static str) -> Result<Option<Self>, ConfigError> {
        if !config.keeps_sessions()? {
            return Ok(None);
        }
        Ok(Some(Self {
            connector: Connector::new(Target::new(config)?),
            channel,
            budget: config.connection_timeout,
            connection: None,
            client: watch::Sender::new(None),
        }))
    }

    /// Sends on the same channel, by the same connection.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier { channel: self.channel, client: self.client.subscribe() }
    }

    /// Waits for what is heard next, the first connection included.
    pub async fn next(&mut self) -> Heard {
        loop {
            let Some(connection) = &mut self.connection else {
                self.connect().await;
                return Heard::Connected;
            };
            let patience = if connection.tested { PATIENCE } else { QUIET };
            let lives = match timeout(patience, connection.payloads.recv()).await {
                Ok(Some(payload)) => {
                    connection.tested = false;
                    if !payload.is_empty() {
                        return Heard::Notification(payload);
                    }
                    true
                }
                Err(_) if !connection.tested => {
                    connection.tested = true;
                    self.notifier().notify(&[String::new()]).await.is_ok()
                }
                Ok(None) | Err(_) => false,
            };
            if !lives {
                tracing::warn!(channel = self.channel, "Notifications are not heard any more");
                self.client.send_replace(None);
                self.connection = None;
                return Heard::Lost;
            }
        }
    }

    async fn connect(&mut self) {
        let mut failures = 0;
        loop {
            let attempt = timeout(self.budget + PATIENCE, self.attempt()).await;
            match attempt.unwrap_or(Err(Error::ConnectTimeout)) {
                Ok((client, connection)) => {
                    self.client.send_replace(Some(Arc::new(client)));
                    self.connection = Some(connection);
                    return;
                }
                Err(error) if failures == 0 => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(channel = self.channel, cause, "Notifications cannot be heard: {error}");
                }
                Err(_) => {}
            }
            sleep(pause(failures)).await;
            failures += 1;
        }
    }

    async fn attempt(&self) -> Result<(Client, Connection), Error> {
        let (sender, payloads) = unbounded_channel();
        let (client, driver) = self.connector.listen(self.budget, sender).await.map_err(Error::from_connect)?;
        client.batch_execute(&format!("listen {}", self.channel)).await.map_err(Error::from_statement)?;
        Ok((client, Connection { _driver: driver, payloads, tested: false }))
    }
}

/// Sends notifications.
#[derive(Clone)]
pub struct Notifier {
    channel: &'static str,
    client: watch::Receiver<Option<Arc<Client>>>,
}

impl Notifier {
    /// The most bytes of a payload.
    pub const PAYLOAD_LIMIT: usize = 7999;

    /// Sends payloads to everybody who listens on the channel, the own listener included. An empty one is heard by
    /// nobody.
    ///
    /// # Errors
    /// Of the statement; [`Error::ConnectionLost`] while there is no connection.
    pub async fn notify(&self, payloads: &[String]) -> Result<(), Error> {
        let client = self.client.borrow().clone().ok_or(Error::ConnectionLost(None))?;
        let sql = "-- notify\nselect pg_notify($1, payload) from unnest($2) as payload";
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&self.channel, Type::TEXT), (&payloads, Type::TEXT_ARRAY)];
        let notified = timeout(PATIENCE, client.query_typed(sql, &parameters)).await;
        let notified = notified.map_err(|_| Error::StatementTimeout)?;
        notified.map(drop).map_err(Error::from_statement)
    }
}
