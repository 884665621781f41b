//! What the engine need not know any more.

use std::time::Duration;

use parlant_engine::Error as EngineError;
use tokio::time::sleep;
use uuid::Uuid;

use super::Delivery;
use crate::Error;
use crate::conversations::read;
use crate::sql::delivery as sql;

/// How often to look.
const PAUSE: Duration = Duration::from_secs(5);
/// Agents and twins at a time.
const BATCH: i64 = 100;

impl Delivery {
    /// Removes archived agents and the twins of ended sessions from the engine, for ever. What fails is tried again;
    /// that several replicas do it makes no difference.
    pub(super) async fn clear_leftovers(&self) {
        loop {
            // Turns that began before the end have noticed it by then, and make nothing of this again.
            sleep(PAUSE).await;
            if let Err(error) = self.clear().await {
                tracing::debug!(error = &error as &dyn std::error::Error, "Leftovers stay in the engine");
            }
        }
    }

    async fn clear(&self) -> Result<(), Error> {
        let age = self.config.lease.as_secs_f64() * 2.0;
        for row in self.pool.query(&sql::LIST_FORGOTTEN_AGENTS, &[&age, &BATCH]).await? {
            let (id, workspace_id): (Uuid, String) =
                read("parlant_agent", &row, |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
            if !is_done(&self.engine.remove_agent(id).await) {
                return Ok(());
            }
            self.pool.execute(&sql::FORGET_AGENT, &[&id, &workspace_id]).await?;
            tracing::info!(agent_id = %id, "Removed an archived agent from the engine");
        }
        for row in self.pool.query(&sql::LIST_LEFT_TWINS, &[&BATCH]).await? {
            let (session_id, workspace_id, twin): (Uuid, String, String) =
                read("parlant_engine_session", &row, |row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))?;
            if !is_done(&self.engine.close(&twin).await) {
                return Ok(());
            }
            self.pool.execute(&sql::FORGET_TWIN, &[&session_id, &workspace_id, &twin]).await?;
        }
        Ok(())
    }
}

/// What the engine refuses to remove is not asked for again.
fn is_done(result: &Result<(), EngineError>) -> bool {
    !matches!(result, Err(EngineError::Unreachable(_)))
}
