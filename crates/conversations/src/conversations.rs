use std::error::Error as StdError;
use std::sync::Arc;

use parlant_db_pool::{Pool, Row};
use tokio::sync::Notify;

use crate::{Error, Limits, Live, sql};

/// Agents, sessions and messages, kept in PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct Conversations {
    pub(crate) pool: Pool,
    pub(crate) limits: Limits,
    pub(crate) live: Live,
    /// To be told of messages that an engine is to answer, if there is one.
    pub(crate) outbox: Option<Arc<Notify>>,
}

impl std::fmt::Debug for Conversations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversations").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Conversations {
    /// Over a pool whose user may select, insert and update the bridge's tables.
    #[must_use]
    pub fn new(pool: Pool, limits: Limits) -> Self {
        pool.announce(&sql::all());
        Self { pool, limits, live: Live::default(), outbox: None }
    }

    /// Those who listen to what happens.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }
}

/// First keys of the advisory locks of this crate; the second is a hash of what is locked.
pub(crate) mod lock {
    pub(crate) const AGENT_LIMIT: i32 = 0x7061_0001;
    pub(crate) const SESSION_LIMIT: i32 = 0x7061_0002;
    pub(crate) const REAPER: i32 = 0x7061_0003;
}

/// Reads one row of a table into a value.
pub(crate) fn read<T>(
    table: &'static str,
    row: &Row,
    read: impl FnOnce(&Row) -> Result<T, Box<dyn StdError + Send + Sync>>,
) -> Result<T, Error> {
    read(row).map_err(|source| Error::UnreadableRow { table, source })
}
