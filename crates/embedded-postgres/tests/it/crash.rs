//! Whoever is killed: nothing stays, nothing is lost.

use std::{fs, path::Path, time::Duration};

use rustix::process::{Signal, kill_process_group};

use crate::{alive, as_pid, ask, connect, eventually, kept, kill, owner::Owner, reachable_dir, start};

const WRITE: &str = "create table kept as select 'yes' as answer";
const READ: &str = "select answer from kept";

#[cfg(target_os = "linux")]
pub(crate) fn parent_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn postgres_ends_with_a_killed_owner_and_the_next_one_finds_the_data() {
    let dir = reachable_dir();
    let owner = Owner::start(Some(dir.path()));
    let (url, postmaster) = (owner.url.clone(), owner.postmaster);
    connect(&url).await.batch_execute(WRITE).await.unwrap();
    owner.kill();
    eventually("postgres is gone", || !alive(postmaster)).await;

    let cluster = start(kept(dir.path())).await;
    assert_eq!(cluster.url("postgres"), url);
    assert_eq!(ask(&connect(&url).await, READ).await, "yes");
    cluster.stop().await;
}

#[tokio::test]
async fn the_next_owner_need_not_wait_for_that_itself() {
    let dir = reachable_dir();
    let mut rounds = 0;
    while rounds < 5 {
        let owner = Owner::start(Some(dir.path()));
        let client = connect(&owner.url).await;
        client.batch_execute("create table if not exists rounds (round int)").await.unwrap();
        client.execute("insert into rounds values ($1)", &[&rounds]).await.unwrap();
        owner.kill();
        rounds += 1;
    }
    let cluster = start(kept(dir.path())).await;
    let count = ask(&connect(&cluster.url("postgres")).await, "select count(*)::text from rounds").await;
    assert_eq!(count, rounds.to_string());
    cluster.stop().await;
}

#[tokio::test]
async fn an_owner_may_be_killed_at_any_moment_of_the_first_start() {
    for milliseconds in (0..1000).step_by(250) {
        let dir = reachable_dir();
        let mut owner = Owner::spawn(Some(dir.path()));
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        owner.kill().unwrap();
        owner.wait().unwrap();
        let cluster = start(kept(dir.path())).await;
        assert_eq!(ask(&connect(&cluster.url("postgres")).await, "select 'well'").await, "well");
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_temporary_cluster_is_removed_when_its_owner_is_killed() {
    let owner = Owner::start(None);
    let data = ask(&connect(&owner.url).await, "show data_directory").await;
    let (home, postmaster) = (Path::new(&data).parent().unwrap().to_owned(), owner.postmaster);
    owner.kill();
    eventually("the directory is gone", || !home.exists()).await;
    assert!(!alive(postmaster));
}

#[tokio::test]
async fn a_killed_postgres_is_recovered_by_the_next_start() {
    let dir = reachable_dir();
    let cluster = start(kept(dir.path())).await;
    connect(&cluster.url("postgres")).await.batch_execute(WRITE).await.unwrap();
    kill(cluster.pid());
    cluster.stop().await;

    let cluster = start(kept(dir.path())).await;
    assert_eq!(ask(&connect(&cluster.url("postgres")).await, READ).await, "yes");
    cluster.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn when_owner_supervisor_and_postgres_are_killed_together_the_next_start_recovers() {
    let dir = reachable_dir();
    let owner = Owner::start(Some(dir.path()));
    connect(&owner.url).await.batch_execute(WRITE).await.unwrap();
    let group = as_pid(owner.supervisor());
    kill_process_group(group, Signal::KILL).unwrap();
    owner.kill();

    let cluster = start(kept(dir.path())).await;
    assert_eq!(ask(&connect(&cluster.url("postgres")).await, READ).await, "yes");
    cluster.stop().await;
}

/// The out-of-memory killer may take the supervisor first.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_stays_of_a_killed_owner_even_without_its_supervisor() {
    let owner = Owner::start(None);
    let data = ask(&connect(&owner.url).await, "show data_directory").await;
    let (home, postmaster) = (Path::new(&data).parent().unwrap().to_owned(), owner.postmaster);
    kill(owner.supervisor());
    connect(&owner.url).await;
    owner.kill();
    eventually("the directory is gone", || !home.exists()).await;
    assert!(!alive(postmaster));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_postgres_that_nobody_watches_is_stopped_by_the_next_start() {
    let dir = reachable_dir();
    let owner = Owner::start(Some(dir.path()));
    let (postmaster, supervisor) = (owner.postmaster, owner.supervisor());
    connect(&owner.url).await.batch_execute(WRITE).await.unwrap();
    let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
    let watcher = children.split_whitespace().map(|pid| pid.parse().unwrap()).find(|pid| *pid != postmaster);
    kill(supervisor);
    kill(watcher.unwrap());
    owner.kill();
    assert!(alive(postmaster));

    let cluster = start(kept(dir.path())).await;
    assert!(!alive(postmaster));
    assert_eq!(ask(&connect(&cluster.url("postgres")).await, READ).await, "yes");
    cluster.stop().await;
}

#[tokio::test]
async fn ctrl_c_in_a_terminal_does_not_reach_postgres_before_its_owner_is_done() {
    let dir = reachable_dir();
    let owner = Owner::start(Some(dir.path()));
    let (postmaster, pid) = (owner.postmaster, owner.pid());
    kill_process_group(as_pid(pid), Signal::INT).unwrap();
    eventually("postgres is gone", || !alive(postmaster)).await;

    let cluster = start(kept(dir.path())).await;
    connect(&cluster.url("postgres")).await.batch_execute("select from still_here").await.unwrap();
    cluster.stop().await;
}
