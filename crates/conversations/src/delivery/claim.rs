use std::time::Duration;

use parlant_db_pool::Row;
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::Delivery;
use crate::Error;
use crate::conversations::read;
use crate::sql::delivery as sql;

/// A turn that was taken.
pub(super) struct Claim {
    pub(super) session_id: Uuid,
    pub(super) offset: i32,
    pub(super) workspace_id: String,
    /// What makes it ours.
    pub(super) lease: Uuid,
    /// When it was taken, not later.
    pub(super) taken: Instant,
    /// How often it was taken; this time counts.
    pub(super) attempts: i32,
}

/// What a turn is about.
pub(super) struct Task {
    pub(super) message_id: Uuid,
    pub(super) content: String,
    pub(super) user_id: String,
    pub(super) agent: Agent,
    /// Whether session and agent are there.
    pub(super) active: bool,
    pub(super) twin: Option<String>,
    /// The first event of the twin that was not read.
    pub(super) next_offset: i64,
    /// The engine's name of the turn, if it has the message.
    pub(super) trace_id: Option<String>,
    pub(super) answers: i32,
    /// How long ago the message was posted, and when that was so.
    pub(super) age: Duration,
    pub(super) loaded: Instant,
    /// How long ago the twin was given it, if it was.
    pub(super) delivered_age: Option<Duration>,
}

/// The agent as the engine is to know it.
pub(super) struct Agent {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) guidelines: Vec<Value>,
    /// Whether the engine may know it already.
    pub(super) in_engine: bool,
}

impl Delivery {
    /// At most `most` turns that are due.
    pub(super) async fn claim(&self, most: usize) -> Result<Vec<Claim>, Error> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let (lease, taken) = (Uuid::now_v7(), Instant::now());
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.pool.query(&sql::CLAIM_TURNS, &[&lease, &self.config.lease.as_secs_f64(), &most]).await?;
        let claim = |row: &Row| {
            read("parlant_outbox", row, |row| {
                Ok(Claim {
                    session_id: row.try_get(0)?,
                    offset: row.try_get(1)?,
                    workspace_id: row.try_get(2)?,
                    lease,
                    taken,
                    attempts: row.try_get(3)?,
                })
            })
        };
        rows.iter().map(claim).collect()
    }

    /// What the turn is about; none when it is no longer ours.
    pub(super) async fn load(&self, claim: &Claim) -> Result<Option<Task>, Error> {
        let Claim { session_id, offset, workspace_id, lease, .. } = claim;
        let row = self.pool.query_opt(&sql::LOAD_TURN, &[session_id, offset, lease, workspace_id]).await?;
        row.as_ref().map(task).transpose()
    }

    /// Nobody else takes the turn for so long. Whether it has a point; none when it is no longer ours.
    pub(super) async fn keep(&self, claim: &Claim, time: Duration) -> Result<Option<bool>, Error> {
        let Claim { session_id, offset, workspace_id, lease, .. } = claim;
        let query = &sql::KEEP_TURN;
        let row = self.pool.query_opt(query, &[session_id, offset, lease, workspace_id, &time.as_secs_f64()]).await?;
        row.map(|row| read("parlant_session", &row, |row| Ok(row.try_get(0)?))).transpose()
    }

    /// Leaves the turn to whoever takes it once the time has passed.
    pub(super) async fn give_back(&self, claim: &Claim, time: Duration) {
        // Otherwise the lease runs out.
        let _ = self.keep(claim, time).await;
    }
}

fn task(row: &Row) -> Result<Task, Error> {
    // Below zero when the database's clock was set back.
    let age = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    read("parlant_outbox", row, |row| {
        let Json(guidelines) = row.try_get("guidelines")?;
        Ok(Task {
            message_id: row.try_get("id")?,
            content: row.try_get("content")?,
            user_id: row.try_get("user_id")?,
            agent: Agent {
                id: row.try_get("agent_id")?,
                name: row.try_get("name")?,
                description: row.try_get("description")?,
                guidelines,
                in_engine: row.try_get("in_engine")?,
            },
            active: row.try_get("active")?,
            twin: row.try_get("twin")?,
            next_offset: row.try_get("next_offset")?,
            trace_id: row.try_get("trace_id")?,
            answers: row.try_get("answers")?,
            age: age(row.try_get("age")?),
            loaded: Instant::now(),
            delivered_age: row.try_get::<_, Option<f64>>("delivered_age")?.map(age),
        })
    })
}
