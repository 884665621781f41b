//! What each command prints and how it exits.

use parlant_test_support::empty_database;
use serde_json::Value;

use crate::program::{end, program, run};

#[tokio::test]
async fn a_database_goes_from_pending_to_up_to_date() {
    let database = empty_database().await;
    let url = database.migrator_url();

    let status = run(&url, &["status"]).await;
    assert_eq!((status.code, status.err.as_str()), (2, ""), "{status:?}");
    assert!(status.out.starts_with("Schema status: pending\n\nTables\n  parlant_agent "), "{}", status.out);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>() == ["parlant_migrations", "missing"];
    assert!(status.out.lines().any(words), "{}", status.out);
    let verify = run(&url, &["verify"]).await;
    assert_eq!((verify.code, verify.out.as_str()), (2, ""), "{verify:?}");
    assert!(verify.err.contains("the schema is behind: V1__"), "{}", verify.err);

    let apply = run(&url, &["apply", "--json"]).await;
    assert_eq!(apply.code, 0, "{apply:?}");
    let report: Value = serde_json::from_str(&apply.out).unwrap();
    assert_eq!(report["applied"][0]["version"], 1);
    assert!(report["applied"][0]["duration_ms"].is_u64());
    assert!(apply.err.contains("Applying V1__"), "{}", apply.err);

    let again = run(&url, &["apply"]).await;
    assert_eq!((again.code, again.out.as_str(), again.err.as_str()), (0, "Nothing to apply.\n", ""));
    let verify = run(&url, &["verify"]).await;
    assert_eq!((verify.code, verify.out.as_str()), (0, "the schema is up to date\n"));
    let status: Value = serde_json::from_str(&run(&url, &["--json", "status"]).await.out).unwrap();
    assert_eq!(status["state"], "up_to_date");
    assert!(status["tables"].as_array().unwrap().iter().all(|table| table["exists"] == true));
}

#[tokio::test]
async fn a_plan_names_what_it_creates_and_needs_a_place_to_try_it() {
    let database = empty_database().await;
    let plan = run(&database.superuser_url(), &["plan"]).await;
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.out.contains("V1__") && plan.out.contains("  creates  parlant_agent\n"), "{}", plan.out);

    let mut command = program(&database.migrator_url(), &["plan"]);
    let refused = end(program(&database.migrator_url(), &["plan"])).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("createdb"), "{}", refused.err);
    command.env("MIGRATE_SCRATCH_URL", empty_database().await.superuser_url());
    let planned = end(command).await;
    assert_eq!(planned.code, 2, "{planned:?}");
}

#[tokio::test]
async fn a_database_that_is_not_what_the_files_say_is_refused_with_3() {
    let database = empty_database().await;
    let client = database.superuser().await;
    let url = database.migrator_url();
    assert_eq!(run(&url, &["apply"]).await.code, 0);

    client
        .batch_execute("insert into parlant_migrations values (9999, 'later', '2026-01-01T00:00:00Z', '1')")
        .await
        .unwrap();
    for command in ["status", "verify", "apply", "plan"] {
        let ended = run(&url, &[command]).await;
        assert_eq!(ended.code, 3, "{command}: {ended:?}");
        assert!(format!("{}{}", ended.out, ended.err).contains("V9999__later was applied by a newer program"));
    }
    client
        .batch_execute(
            "delete from parlant_migrations where version = 9999; update parlant_migrations set checksum = '1'",
        )
        .await
        .unwrap();
    let verify = run(&url, &["verify", "--json"]).await;
    assert_eq!(verify.code, 3, "{verify:?}");
    let status: Value = serde_json::from_str(&verify.out).unwrap();
    assert_eq!((&status["state"], &status["problems"][0]["problem"]), (&"diverged".into(), &"edited".into()));
}

#[tokio::test]
async fn a_lock_that_stays_ends_with_4_and_the_holder_s_name() {
    let database = empty_database().await;
    let holder = database.superuser().await;
    holder
        .batch_execute("set application_name to 'somebody-else'; select pg_advisory_lock(1885434476, 1835624306)")
        .await
        .unwrap();
    let ended = run(&database.migrator_url(), &["apply", "--lock-wait", "200ms"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (4, ""), "{ended:?}");
    assert!(ended.err.contains("somebody-else (pid "), "{}", ended.err);
}

#[tokio::test]
async fn bad_usage_bad_settings_and_a_dead_database_say_what_is_wrong() {
    let dead = "postgres://me:hunter2@127.0.0.1:1/sim";
    for arguments in [&["migrate"][..], &[], &["apply", "--lock-wait", "soon"], &["status", "extra"]] {
        assert_eq!(run(dead, arguments).await.code, 64, "{arguments:?}");
    }
    let mut command = program(dead, &["status"]);
    command.env_remove("DATABASE_URL").env("LOG_FORMAT", "loud");
    let ended = end(command).await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    assert!(ended.err.contains("DATABASE_URL: ") && ended.err.contains("LOG_FORMAT: "), "{}", ended.err);

    for command in ["status", "plan", "apply", "verify"] {
        let ended = run(dead, &[command]).await;
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains("cannot connect"), "{}", ended.err);
        assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    }
}

#[tokio::test]
async fn help_and_version_are_data() {
    let help = run("", &["--help"]).await;
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for expected in ["status", "plan", "apply", "verify", "Examples:", "Exit codes:"] {
        assert!(help.out.contains(expected), "{}", help.out);
    }
    let version = run("", &["--version"]).await;
    assert_eq!(version.code, 0);
    assert!(version.out.starts_with(concat!("parlant-migrate ", env!("CARGO_PKG_VERSION"))), "{}", version.out);
}
