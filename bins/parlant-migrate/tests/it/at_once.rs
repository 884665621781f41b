//! Several programs, and dying ones.

use std::time::Duration;

use parlant_schema::State;
use parlant_test_support::{ChaosProxy, empty_database};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::program::{program, run};

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_applies_at_once_end_well_or_locked_in_each_of_twenty_rounds() {
    for round in 0..20 {
        let database = empty_database().await;
        let mut programs = JoinSet::new();
        for _ in 0..16 {
            let url = database.migrator_url();
            programs.spawn(async move { run(&url, &["apply"]).await });
        }
        let ended = programs.join_all().await;
        for one in &ended {
            assert!(matches!(one.code, 0 | 4), "round {round}: {one:?}");
        }
        let applied = ended.iter().filter(|one| one.out.starts_with("Applied ")).count();
        assert_eq!(applied, 1, "round {round}: one program does the work: {ended:?}");
        let status = parlant_schema::verify(&database.superuser().await).await.unwrap();
        assert_eq!(status.state, State::UpToDate);
    }
}

#[tokio::test]
async fn a_killed_apply_is_continued_by_the_next() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let names = parlant_schema::status(&client).await.unwrap();
    // A table of the same name that is not committed yet stops the program in the middle of its files.
    let last = names.pending.last().unwrap().clone();
    let blocker = database.superuser().await;
    blocker.batch_execute("begin; create table parlant_event (x int)").await.unwrap();
    let mut doomed = program(&database.migrator_url(), &["apply", "--lock-timeout", "10m"]).spawn().unwrap();
    let stuck = "select exists (select from pg_stat_activity where datname = current_database()
        and application_name = 'parlant-migrate' and wait_event_type = 'Lock')";
    let deadline = Instant::now() + Duration::from_secs(30);
    while !client.query_one(stuck, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(Instant::now() < deadline, "it never got stuck");
        sleep(Duration::from_millis(10)).await;
    }
    // SIGKILL.
    doomed.kill().await.unwrap();
    let halfway = parlant_schema::status(&client).await.unwrap();
    assert!(!halfway.applied.is_empty(), "it was in the middle");
    assert_eq!(halfway.pending.last(), Some(&last));
    blocker.batch_execute("rollback").await.unwrap();

    let next = run(&database.migrator_url(), &["apply"]).await;
    assert_eq!(next.code, 0, "{next:?}");
    parlant_schema::verify(&client).await.unwrap();
}

#[tokio::test]
async fn a_plan_that_is_interrupted_drops_its_database() {
    let database = empty_database().await;
    let client = database.superuser().await;
    // Each round trip takes its time, so the signal finds the plan at work.
    let proxy = ChaosProxy::start(database.address()).await;
    proxy.delay(Duration::from_millis(100));
    let near = format!("{}?application_name=slow-plan", database.superuser_url());
    let far = near.replace(&database.address().to_string(), &proxy.address().to_string());
    let planning = program(&far, &["plan"]).spawn().unwrap();
    let inside = "select datname::text from pg_stat_activity
        where application_name = 'slow-plan' and datname like 'parlant\\_plan\\_%'";
    let deadline = Instant::now() + Duration::from_secs(30);
    let scratch: String = loop {
        if let Some(row) = client.query(inside, &[]).await.unwrap().first() {
            break row.get(0);
        }
        assert!(Instant::now() < deadline, "it made no database");
        sleep(Duration::from_millis(1)).await;
    };
    let pid = planning.id().unwrap().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    let ended = planning.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("interrupted"), "{said}");
    let left = client.query("select from pg_database where datname = $1", &[&scratch]).await.unwrap();
    assert!(left.is_empty());
}
