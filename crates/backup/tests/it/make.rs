use std::fs;
use std::future::pending;
use std::path::Path;

use parlant_backup_core::{Config, Error, Lock, Made, Reporter, Request, make};
use parlant_test_support::TestDatabase;
use tempfile::TempDir;

async fn backup(database: &TestDatabase, config: &Config, request: &Request) -> Result<Made, Error> {
    let lock = Lock::take(&config.dir)?;
    let source = parlant_db_pool::Config::new(database.superuser_url());
    make(config, &source, request, &lock, &Reporter::default(), pending()).await
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn place() -> (TempDir, Config) {
    let dir = TempDir::new().unwrap();
    let config = Config::new(dir.path().join("backups"));
    (dir, config)
}

#[tokio::test]
async fn a_backup_is_an_archive_and_a_manifest_that_only_the_owner_reads() {
    let database = parlant_test_support::database().await;
    let (_dir, config) = place();
    let made = backup(&database, &config, &Request::default()).await.unwrap();
    let manifest = made.manifest;
    assert_eq!(files(&config.dir), [".lock", &manifest.archive.file, &manifest.name.manifest_file()]);
}
