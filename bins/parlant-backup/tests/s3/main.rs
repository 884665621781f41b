//! The program with what `cargo test` does without: a real S3 server, moto's, over a network that fails, and `age`.
//! `e2e/backup/run` brings both.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption is a failed test")]

mod encryption;
#[path = "../it/place.rs"]
#[expect(dead_code, reason = "the other suite needs more of it")]
mod place;
mod server;

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

use place::{Ended, Place, end};
use server::S3Server;

/// What of it can be compressed is half: some parts of an upload.
const FILLING: &str = "create table filling as
  select i, (select string_agg(md5(random()::text || i || j), '') from generate_series(1, 64) j) as text
  from generate_series(1, 16000) i";

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

struct World {
    place: Place,
    server: S3Server,
}

impl World {
    async fn new(server: S3Server) -> Self {
        let place = Place::new().await;
        place.database.superuser().await.batch_execute(FILLING).await.unwrap();
        Self { place, server }
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.program(arguments);
        command
            .env("S3_BUCKET", server::BUCKET)
            .env("S3_ENDPOINT", format!("http://{}", self.server.proxy.address()))
            .env("S3_SERVER_SIDE_ENCRYPTION", "AES256")
            .env("S3_STORAGE_CLASS", "STANDARD_IA")
            .env("AWS_ACCESS_KEY_ID", server::KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("BACKUP_VERIFY_URL", self.place.database.superuser_url());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        let ended = end(self.program(arguments)).await;
        assert!(!ended.out.contains(SECRET) && !ended.err.contains(SECRET), "{ended:?}");
        ended
    }

    /// The backups of the bucket.
    async fn listed(&self) -> Vec<Value> {
        let ended = self.run(&["list", "--s3", "--json"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.json()[0]["backups"].as_array().unwrap().clone()
    }

    /// A run that could not upload: the backup is kept, verified, and the reason named.
    fn assert_kept(ended: &Ended, reason: &str) {
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let outcome = ended.json();
        assert_eq!((&outcome["verified"], &outcome["uploaded"]), (&true.into(), &false.into()), "{outcome}");
        let error = outcome["upload_error"].as_str().unwrap();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_backup_is_uploaded_encrypted_and_serves_as_well_as_the_one_at_home() {
    let world = World::new(S3Server::start(&[]).await).await;
    let ended = world.run(&["run", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["uploaded"], true);
    let listed = world.listed().await;
    assert_eq!((listed.len(), &listed[0]["state"]), (1, &"verified".into()));
    let name = listed[0]["name"].as_str().unwrap();
    for file in world.place.files() {
        let head = world.server.head(&file).await.to_ascii_lowercase();
        assert!(head.contains("x-amz-server-side-encryption: aes256"), "{file}: {head}");
        assert!(head.contains("x-amz-storage-class: standard_ia"), "{file}: {head}");
    }

    std::fs::remove_dir_all(world.place.path("backups")).unwrap();
    for arguments in [&["verify", "--s3"][..], &["verify", name, "--s3", "--read-only"]] {
        let ended = world.run(arguments).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let target = format!("{}_restored", world.place.database.name());
    let ended = world.run(&["restore", "newest", "--s3", "--database", &target]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    // Young as it is, and alone.
    let ended = world.run(&["prune", "--json"]).await;
    assert_eq!(ended.json()[1]["kept"].as_array().unwrap().len(), 1, "{ended:?}");
    assert_eq!(world.listed().await.len(), 1);
}

#[tokio::test]
async fn what_changed_in_the_bucket_is_found_out() {
    let world = World::new(S3Server::start(&[]).await).await;
    assert_eq!(world.run(&["run", "--no-verify"]).await.code, Some(0));
    let archive = world.place.files().into_iter().find(|file| file.contains(".dump.")).unwrap();
    let mut bytes = std::fs::read(world.place.path("backups").join(&archive)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.server.put(&archive, &bytes).await;
    let ended = world.run(&["verify", "--s3"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains("SHA-256"), "{ended:?}");
    assert_eq!(world.listed().await[0]["state"], "damaged");
}

#[tokio::test]
async fn a_service_that_refuses_connections_costs_the_upload_and_not_the_backup() {
    let world = World::new(S3Server::start(&[]).await).await;
    world.server.proxy.refuse().await;
    let begun = Instant::now();
    World::assert_kept(&world.run(&["run", "--json"]).await, "cannot upload");
    assert!(begun.elapsed() < Duration::from_mins(2));
    // What is at home is shown all the same.
    let ended = world.run(&["list"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.contains("verified") && ended.out.contains("ERROR"), "{ended:?}");

    world.server.proxy.restore().await;
    assert!(world.listed().await.is_empty());
    assert_eq!(world.run(&["run"]).await.code, Some(0));
}

#[tokio::test]
async fn a_slow_service_is_waited_for() {
    let world = World::new(S3Server::start(&[]).await).await;
    world.server.proxy.delay(Duration::from_millis(5));
    let ended = world.run(&["run", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(world.listed().await.len(), 1);
}

#[tokio::test]
async fn a_network_that_breaks_off_now_and_then_is_got_over_and_one_that_stays_away_is_not() {
    let world = World::new(S3Server::start(&[]).await).await;
    // Slow enough to be cut in the middle of the parts.
    world.server.proxy.delay(Duration::from_millis(2));
    let run = world.run(&["run", "--json"]);
    let cuts = async {
        for _ in 0..3 {
            world.server.until_a_part_is_on_its_way().await;
            world.server.proxy.cut();
            sleep(Duration::from_millis(300)).await;
        }
    };
    let (ended, ()) = tokio::join!(run, cuts);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = world.run(&["verify", "--s3"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(world.listed().await.len(), 1);

    let run = world.run(&["run", "--json"]);
    let cut = async {
        world.server.until_a_part_is_on_its_way().await;
        world.server.proxy.refuse().await;
        world.server.proxy.cut();
    };
    let (ended, ()) = tokio::join!(run, cut);
    World::assert_kept(&ended, "cannot upload");
    world.server.proxy.restore().await;
    assert_eq!(world.listed().await.len(), 1);
}

#[tokio::test]
async fn credentials_that_the_service_does_not_know_are_named_and_not_shown() {
    // After the bucket is made, every request needs a user that there is.
    let world = World::new(S3Server::start(&[("INITIAL_NO_AUTH_ACTION_COUNT", "1")]).await).await;
    let ended = world.run(&["run", "--json"]).await;
    World::assert_kept(&ended, "credentials");
    let ended = world.run(&["verify", "--s3"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[tokio::test]
async fn killed_while_it_uploads_a_run_leaves_nothing_in_the_bucket_that_looks_whole() {
    let world = World::new(S3Server::start(&[]).await).await;
    world.server.proxy.delay(Duration::from_millis(2));
    for _ in 0..5 {
        let mut child = world.program(&["run", "--no-verify"]).spawn().unwrap();
        world.server.until_a_part_is_on_its_way().await;
        sleep(Duration::from_secs(1).mul_f64(rand::random())).await;
        child.kill().await.unwrap();
    }
    world.server.proxy.restore().await;
    let whole = world.listed().await.iter().filter(|backup| backup["state"] != "incomplete").count();
    assert_eq!(world.run(&["run", "--json"]).await.code, Some(0));
    let listed = world.listed().await;
    assert_eq!(listed[0]["state"], "verified");
    assert_eq!(listed.iter().filter(|backup| backup["state"] != "incomplete").count(), whole + 1);
}
