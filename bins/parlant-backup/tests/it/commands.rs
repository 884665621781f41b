//! What an operator does with the backups that are there.

use crate::place::Place;

#[tokio::test]
async fn a_verification_by_hand_counts_for_the_metrics_and_the_list() {
    let place = Place::new().await;
    let metrics = place.path("parlant_backup.prom");
    let run = async |arguments: &[&str]| {
        let mut command = place.program(arguments);
        command.env("BACKUP_METRICS_FILE", &metrics).env("BACKUP_VERIFY_URL", place.database.superuser_url());
        crate::place::end(command).await
    };
    assert_eq!(run(&["run", "--no-verify"]).await.code, Some(0));
    let never = "parlant_backup_last_verified_timestamp_seconds 0\n";
    assert!(std::fs::read_to_string(&metrics).unwrap().contains(never));
    assert!(run(&["list"]).await.out.contains("unverified"));

    let read = run(&["verify", "--read-only", "--json"]).await;
    assert_eq!((read.code, &read.json()["level"]), (Some(0), &"read".into()));
    assert!(std::fs::read_to_string(&metrics).unwrap().contains(never));

    let verified = run(&["verify"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.out.contains("as in the manifest"), "{verified:?}");
    assert!(!std::fs::read_to_string(&metrics).unwrap().contains(never));
    assert_eq!(run(&["list", "--json"]).await.json()[0]["backups"][0]["state"], "verified");
}

#[tokio::test]
async fn damage_has_an_exit_code_of_its_own_and_a_missing_backup_another() {
    let place = Place::new().await;
    let missing = place.run(&["verify"]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.err.contains("has no backup"), "{missing:?}");

    assert_eq!(place.run(&["run", "--no-verify"]).await.code, Some(0));
    let archive = place.files().into_iter().find(|file| file.contains(".dump.")).unwrap();
    let path = place.path("backups").join(archive);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    for arguments in [&["verify", "--json"][..], &["verify", "--read-only", "--json"]] {
        let damaged = place.run(arguments).await;
        assert_eq!(damaged.code, Some(3), "{damaged:?}");
        let error = damaged.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("bytes instead of"), "{error}");
    }
    let target = format!("{}_restored", place.database.name());
    let refused = place.run(&["restore", "newest", "--database", &target]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("has no backup"), "{refused:?}");
}

#[tokio::test]
async fn replacing_a_database_takes_its_name_twice() {
    let place = Place::new().await;
    assert_eq!(place.run(&["run", "--no-verify"]).await.code, Some(0));
    let own = place.database.name();
    let once = place.run(&["restore", "newest", "--database", own]).await;
    assert_eq!(once.code, Some(1), "{once:?}");
    let mistyped = place.run(&["restore", "newest", "--database", own, "--replace", "sim"]).await;
    assert_eq!(mistyped.code, Some(1), "{mistyped:?}");
    assert!(mistyped.err.contains("--replace must repeat"), "{mistyped:?}");
    let twice = place.run(&["restore", "newest", "--database", own, "--replace", own, "--force", "--json"]).await;
    assert_eq!(twice.code, Some(0), "{twice:?}");
    assert_eq!(twice.json()["database"], own);
}
