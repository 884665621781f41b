use std::collections::HashSet;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlant_conversations::{Error, Outcome, Reaper, ReaperError, Report, WorkspaceDirectory};
use tokio_postgres::Client;

use crate::house::{House, admin, house, reader};

/// Sim's own table.
struct SimTable(Client);

impl WorkspaceDirectory for SimTable {
    async fn existing(&self, ids: &[String]) -> Result<HashSet<String>, Box<dyn StdError + Send + Sync>> {
        let rows = self.0.query("select id from workspace where id = any($1)", &[&ids]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// A directory that knows these, and remembers how many it was asked about at a time; or one that cannot be asked.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    workspaces: HashSet<String>,
    asked: Vec<usize>,
    broken: bool,
}

impl Known {
    fn set(&self, ids: impl IntoIterator<Item = impl Into<String>>) {
        self.0.lock().unwrap().workspaces = ids.into_iter().map(Into::into).collect();
    }
}

impl WorkspaceDirectory for Known {
    async fn existing(&self, ids: &[String]) -> Result<HashSet<String>, Box<dyn StdError + Send + Sync>> {
        let mut state = self.0.lock().unwrap();
        if state.broken {
            return Err("out of order".into());
        }
        state.asked.push(ids.len());
        let known = ids.iter().filter(|id| state.workspaces.contains(*id));
        Ok(known.cloned().collect())
    }
}

impl House {
    async fn active_agents(&self, workspace: &str) -> i64 {
        let sql = "select count(*) from parlant_agent where status = 'active' and workspace_id = ";
        self.count(&format!("{sql}'{workspace}'")).await
    }
}

fn seen(report: &Report) -> (usize, usize, u64, u64) {
    assert_eq!(report.outcome, Outcome::Done);
    let Report { workspaces, missing, archived_agents, ended_sessions, .. } = *report;
    (workspaces, missing, archived_agents, ended_sessions)
}

#[tokio::test]
async fn agents_and_sessions_of_a_deleted_workspace_go_at_the_second_look() {
    let house = house().await;
    let sim = house.database.sim().await;
    let ada = sim.user("Ada").await;
    let (kept, archived, deleted) = (sim.workspace(&ada).await, sim.workspace(&ada).await, sim.workspace(&ada).await);
    for workspace in [&kept, &archived, &deleted] {
        let agent = house.agent(workspace, "Help").await;
        house.session(&reader(&ada, workspace), &agent).await;
    }
    let directory = SimTable(house.database.superuser().await);
    let mut reaper = Reaper::new(house.pool.clone(), directory);
    assert_eq!(seen(&reaper.look().await.unwrap()), (3, 0, 0, 0));

    sim.archive(&archived).await;
    sim.delete_workspace(&deleted).await;
    assert_eq!(seen(&reaper.look().await.unwrap()), (3, 1, 0, 0));
    assert_eq!(house.active_agents(&deleted).await, 1);
    assert_eq!(seen(&reaper.look().await.unwrap()), (3, 1, 1, 1));
    assert_eq!(seen(&reaper.look().await.unwrap()), (2, 0, 0, 0));
    for (workspace, left) in [(&kept, 1), (&archived, 1), (&deleted, 0)] {
        assert_eq!(house.active_agents(workspace).await, left);
    }
    let sessions = "select count(*) from parlant_session where status = 'active'";
    assert_eq!(house.count(sessions).await, 2);
}

#[tokio::test]
async fn a_workspace_that_comes_back_is_spared() {
    let house = house().await;
    for workspace in ["a", "b"] {
        house.agent(workspace, "Help").await;
    }
    let known = Known::default();
    let mut reaper = Reaper::new(house.pool.clone(), known.clone());
    for round in [["a", "x"], ["a", "b"], ["a", "x"]] {
        known.set(round);
        assert_eq!(reaper.look().await.unwrap().archived_agents, 0);
    }
    assert_eq!(reaper.look().await.unwrap().archived_agents, 1);
}

#[tokio::test]
async fn an_empty_answer_about_several_workspaces_is_not_believed() {
    let house = house().await;
    for workspace in ["a", "b"] {
        house.agent(workspace, "Help").await;
    }
    let known = Known::default();
    let mut reaper = Reaper::new(house.pool.clone(), known.clone());
    for _ in 0..3 {
        assert_eq!(reaper.look().await.unwrap().outcome, Outcome::Refused);
    }
    // Nor does it count as a look: the next one that misses a workspace is the first.
    known.set(["a"]);
    assert_eq!(seen(&reaper.look().await.unwrap()), (2, 1, 0, 0));
    assert_eq!(seen(&reaper.look().await.unwrap()), (2, 1, 1, 0));
    // The only workspace that is left may well be the one that vanished.
    known.set(["z"]);
    assert_eq!(seen(&reaper.look().await.unwrap()), (1, 1, 0, 0));
    assert_eq!(seen(&reaper.look().await.unwrap()), (1, 1, 1, 0));
}

#[tokio::test]
async fn a_directory_that_cannot_be_asked_archives_nothing() {
    let house = house().await;
    for workspace in ["a", "b"] {
        house.agent(workspace, "Help").await;
    }
    let known = Known::default();
    known.set(["a"]);
    let mut reaper = Reaper::new(house.pool.clone(), known.clone());
    reaper.look().await.unwrap();
    known.0.lock().unwrap().broken = true;
    let result = reaper.look().await;
    assert!(matches!(result, Err(ReaperError::Directory(_))), "{result:?}");
    assert_eq!(house.active_agents("b").await, 1);
}

#[tokio::test]
async fn much_is_done_in_small_steps() {
    let house = house().await;
    let superuser = house.database.superuser().await;
    superuser
        .batch_execute(
            "insert into parlant_agent (id, workspace_id, user_id, name, guidelines, tools)
            select gen_random_uuid(), 'w' || n, 'ada', 'Help', '[]', '[]' from generate_series(1, 1200) n;
            insert into parlant_agent (id, workspace_id, user_id, name, guidelines, tools)
            select gen_random_uuid(), 'gone', 'ada', 'Help ' || n, '[]', '[]' from generate_series(1, 250) n;
            insert into parlant_session (id, workspace_id, agent_id, user_id, context)
            select gen_random_uuid(), workspace_id, id, 'user ' || n, '{}'
            from parlant_agent, generate_series(1, 2) n where workspace_id = 'gone'",
        )
        .await
        .unwrap();
    let known = Known::default();
    known.set((1..=1200).map(|number| format!("w{number}")));
    let mut reaper = Reaper::new(house.pool.clone(), known.clone());
    assert_eq!(seen(&reaper.look().await.unwrap()), (1201, 1, 0, 0));
    assert_eq!(known.0.lock().unwrap().asked, [500, 500, 201]);
    assert_eq!(seen(&reaper.look().await.unwrap()), (1201, 1, 250, 500));
    assert_eq!(house.active_agents("gone").await, 0);
    // Each step of at most a hundred agents was a transaction of its own.
    let steps = "select count(distinct xmin::text) from parlant_agent where workspace_id = 'gone'";
    assert_eq!(house.count(steps).await, 3);
}

#[tokio::test]
async fn one_replica_at_a_time_reaps() {
    let house = house().await;
    for workspace in ["a", "b"] {
        house.agent(workspace, "Help").await;
    }
    let known = Known::default();
    known.set(["a"]);
    let mut reaper = Reaper::new(house.pool.clone(), known.clone());
    reaper.look().await.unwrap();

    let mut other = house.database.superuser().await;
    let transaction = other.transaction().await.unwrap();
    // The lock that the reaper takes, as another replica would hold it.
    transaction.execute("select pg_advisory_xact_lock($1, 0)", &[&0x7061_0003_i32]).await.unwrap();
    assert_eq!(reaper.look().await.unwrap().outcome, Outcome::Busy);
    assert_eq!(house.active_agents("b").await, 1);
    transaction.rollback().await.unwrap();
    assert_eq!(seen(&reaper.look().await.unwrap()), (2, 1, 1, 0));
}

#[tokio::test]
async fn it_runs_as_a_task_and_outlives_a_failure() {
    let house = house().await;
    for workspace in ["a", "b"] {
        house.agent(workspace, "Help").await;
    }
    let known = Known::default();
    known.0.lock().unwrap().broken = true;
    let reaper = Reaper::new(house.pool.clone(), known.clone());
    let task = tokio::spawn(reaper.run(Duration::from_millis(20)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    known.set(["a"]);
    known.0.lock().unwrap().broken = false;
    for _ in 0..500 {
        if house.active_agents("b").await == 0 {
            task.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the workspace was not reaped");
}

#[tokio::test]
async fn a_session_of_a_reaped_agent_takes_no_messages() {
    let house = house().await;
    let agent = house.agent("gone", "Help").await;
    let ada = admin("ada", "gone");
    let session = house.session(&ada, &agent).await;
    let mut reaper = Reaper::new(house.pool.clone(), Known::default());
    reaper.look().await.unwrap();
    reaper.look().await.unwrap();
    let new = crate::house::says("Hello");
    let result = house.conversations.post_message(&ada, session.id, new).await;
    assert!(matches!(result, Err(Error::SessionEnded)), "{result:?}");
}
