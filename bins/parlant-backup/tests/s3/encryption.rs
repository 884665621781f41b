//! Archives for the holder of a key, by the program `age`.

use std::fs;
use std::process::Stdio;

use tokio::process::Command;

use crate::place::{Ended, Place, end};

/// Makes a key, and tells its recipient.
async fn key(place: &Place, name: &str) -> String {
    let made = Command::new("age-keygen").arg("-o").arg(place.path(name)).stderr(Stdio::null()).status().await.unwrap();
    assert!(made.success());
    let text = fs::read_to_string(place.path(name)).unwrap();
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

async fn run(place: &Place, arguments: &[&str], recipient: &str, identity: Option<&str>) -> Ended {
    let mut command = place.program(arguments);
    command
        .env("BACKUP_AGE_RECIPIENT", recipient)
        .env("BACKUP_VERIFY_URL", place.database.superuser_url())
        .envs(identity.map(|name| ("BACKUP_AGE_IDENTITY", place.path(name))));
    end(command).await
}

#[tokio::test]
async fn only_the_right_key_opens_an_archive_and_the_wrong_one_condemns_nothing() {
    let place = Place::new().await;
    place.fill(5_000).await;
    let recipient = key(&place, "right").await;
    key(&place, "wrong").await;
    let made = run(&place, &["run", "--json"], &recipient, Some("right")).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(made.json()["verified"], true);
    let archive = made.json()["archive"].as_str().unwrap().to_owned();
    assert!(archive.ends_with(".dump.zst.age") && fs::read(&archive).unwrap().starts_with(b"age-encryption.org"));

    for (identity, code, reason) in
        [(Some("right"), 0, ""), (Some("wrong"), 3, "cannot be decrypted"), (None, 1, "BACKUP_AGE_IDENTITY")]
    {
        for arguments in [&["verify"][..], &["verify", "--read-only"]] {
            let ended = run(&place, arguments, &recipient, identity).await;
            assert_eq!(ended.code, Some(code), "{ended:?}");
            assert!(ended.err.contains(reason), "{ended:?}");
        }
    }
    let listed = run(&place, &["list", "--json"], &recipient, None).await;
    assert_eq!(listed.json()[0]["backups"][0]["state"], "verified");
    let target = format!("{}_restored", place.database.name());
    let restored = run(&place, &["restore", "newest", "--database", &target], &recipient, Some("right")).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");

    // Damage is told from the wrong key.
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    for identity in ["right", "wrong"] {
        let ended = run(&place, &["verify"], &recipient, Some(identity)).await;
        assert!(ended.code == Some(3) && ended.err.contains("SHA-256"), "{ended:?}");
    }
}

#[tokio::test]
async fn whoever_has_no_key_still_makes_backups_and_is_told_that_they_are_unproven() {
    let place = Place::new().await;
    let recipient = key(&place, "elsewhere").await;
    let ended = run(&place, &["run", "--json"], &recipient, None).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.json()["verification_error"].as_str().unwrap().contains("BACKUP_AGE_IDENTITY"));
    assert_eq!(run(&place, &["run", "--no-verify"], &recipient, None).await.code, Some(0));
}
