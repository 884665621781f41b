//! Archives the agents of workspaces that have vanished from Sim, which tells nobody when it deletes one.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use parlant_db_pool::{Pool, Transaction};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::Error;
use crate::conversations::{lock, read};
use crate::metrics::ReaperMetrics;
use crate::sql::reaper as sql;

/// Workspaces asked about at a time.
const WORKSPACES_AT_A_TIME: i64 = 500;
/// Agents archived in one transaction, with their sessions.
const AGENTS_AT_A_TIME: i64 = 100;
/// From this many workspaces on, all of them missing says more about the answer than about the workspaces.
const SEVERAL: usize = 2;

/// Knows which workspaces Sim has.
pub trait WorkspaceDirectory {
    /// Those of `ids` that exist in Sim. An archived workspace exists: its owner may restore it.
    ///
    /// # Errors
    /// When in doubt. Whatever is not in the answer is taken for deleted.
    fn existing(
        &self,
        ids: &[String],
    ) -> impl Future<Output = Result<HashSet<String>, Box<dyn StdError + Send + Sync>>> + Send;
}

/// Looks for vanished workspaces from time to time. A workspace must be missing in two looks in a row before its
/// agents are archived and their sessions end; that it is remembered in this process alone only makes it later.
///
/// Any number of replicas may have one: all look, and an advisory lock lets one at a time archive.
pub struct Reaper<D> {
    pool: Pool,
    directory: D,
    /// The workspaces that were missing in the last look.
    missing: HashSet<String>,
    metrics: ReaperMetrics,
}

/// What a look led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Workspaces with active agents.
    pub workspaces: usize,
    /// Those of them that Sim does not have.
    pub missing: usize,
    /// Agents that were archived.
    pub archived_agents: u64,
    /// Sessions that ended with them.
    pub ended_sessions: u64,
}

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do until the next look.
    Done,
    /// Another replica is at it.
    Busy,
    /// Sim seemed to have none of several workspaces. That is not believed, and nothing was done.
    Refused,
}

/// Why a look failed. What it had archived by then stays archived.
#[derive(Debug, thiserror::Error)]
pub enum ReaperError {
    /// The bridge's own database.
    #[error(transparent)]
    Conversations(#[from] Error),
    /// Sim could not be asked.
    #[error("cannot ask which workspaces exist")]
    Directory(#[source] Box<dyn StdError + Send + Sync>),
}

impl From<parlant_db_pool::Error> for ReaperError {
    fn from(error: parlant_db_pool::Error) -> Self {
        Self::Conversations(error.into())
    }
}

impl<D> std::fmt::Debug for Reaper<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reaper").field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl<D: WorkspaceDirectory> Reaper<D> {
    /// A reaper that has not looked yet.
    pub fn new(pool: Pool, directory: D) -> Self {
        Self { pool, directory, missing: HashSet::new(), metrics: ReaperMetrics::register() }
    }

    /// Looks at once and then each time that `every` has passed, for ever. What goes wrong is logged, and the next
    /// look tries again.
    pub async fn run(mut self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.look().await {
                tracing::warn!(error = &error as &dyn StdError, "Looking for vanished workspaces failed");
            }
        }
    }

    /// Looks once.
    ///
    /// # Errors
    /// When either database could not be asked or does not answer as it should.
    pub async fn look(&mut self) -> Result<Report, ReaperError> {
        let result = self.try_look().await;
        let outcome = result.as_ref().ok().map(|report| report.outcome);
        self.metrics.looked(outcome);
        result
    }

    async fn try_look(&mut self) -> Result<Report, ReaperError> {
        let mut report =
            Report { outcome: Outcome::Done, workspaces: 0, missing: 0, archived_agents: 0, ended_sessions: 0 };
        let (workspaces, missing) = self.survey().await?;
        report.workspaces = workspaces;
        report.missing = missing.len();
        if workspaces >= SEVERAL && missing.len() == workspaces {
            tracing::error!(workspaces, "Sim seems to have none of our workspaces: nothing is archived");
            self.missing.clear();
            report.outcome = Outcome::Refused;
            return Ok(report);
        }
        let before = std::mem::replace(&mut self.missing, missing);
        for workspace_id in self.missing.intersection(&before) {
            if !self.archive(workspace_id, &mut report).await? {
                report.outcome = Outcome::Busy;
                break;
            }
        }
        Ok(report)
    }

    /// The number of workspaces with active agents, and those that Sim does not have.
    async fn survey(&self) -> Result<(usize, HashSet<String>), ReaperError> {
        let mut workspaces = 0;
        let mut missing = HashSet::new();
        let mut last = String::new();
        loop {
            let query = &sql::NEXT_WORKSPACES;
            let rows = self.pool.query(query, &[&last, &WORKSPACES_AT_A_TIME]).await?;
            let ids = rows.iter().map(|row| read("parlant_agent", row, |row| Ok(row.try_get(0)?)));
            let ids = ids.collect::<Result<Vec<String>, Error>>()?;
            let Some(end) = ids.last() else {
                return Ok((workspaces, missing));
            };
            last.clone_from(end);
            workspaces += ids.len();
            let existing = self.directory.existing(&ids).await;
            let existing = existing.map_err(ReaperError::Directory)?;
            missing.extend(ids.into_iter().filter(|id| !existing.contains(id)));
        }
    }

    /// Archives the workspace's agents, some at a time. False when another replica is at it.
    async fn archive(&self, workspace_id: &str, report: &mut Report) -> Result<bool, ReaperError> {
        loop {
            let step = |transaction| archive_some(transaction, workspace_id);
            let archived = self.pool.transaction("archive_workspace", step).await?;
            let Some((agents, sessions)) = archived else {
                return Ok(false);
            };
            if agents == 0 {
                return Ok(true);
            }
            tracing::info!(workspace_id, agents, sessions, "Archived agents of a vanished workspace");
            self.metrics.archived(agents);
            report.archived_agents += agents;
            report.ended_sessions += sessions;
        }
    }
}

/// How many agents were archived, and how many sessions ended with them; nothing when another replica is at it.
async fn archive_some(transaction: Transaction, workspace_id: &str) -> Result<Option<(u64, u64)>, ReaperError> {
    let row = transaction.query_one(&sql::TRY_REAPER_LOCK, &[&lock::REAPER]).await?;
    if !read("pg_locks", &row, |row| Ok(row.try_get(0)?))? {
        return Ok(None);
    }
    let query = &sql::ARCHIVE_AGENTS_OF_WORKSPACE;
    let rows = transaction.query(query, &[&workspace_id, &AGENTS_AT_A_TIME]).await?;
    let agents = rows.iter().map(|row| read("parlant_agent", row, |row| Ok(row.try_get(0)?)));
    let agents = agents.collect::<Result<Vec<Uuid>, Error>>()?;
    let query = &sql::END_SESSIONS_OF_AGENTS;
    let sessions = transaction.execute(query, &[&workspace_id, &agents]).await?;
    Ok(Some((agents.len() as u64, sessions)))
}
