//! A database with something of everything in it, a directory for its backups, and a server for trial restores.

use std::fs;
use std::future::pending;
use std::path::PathBuf;

use parlant_backup_core::{
    Config, Error, Evidence, Existing, Lock, Manifest, Name, Reporter, Request, RestoreRequest, Restored, Server,
    Store, make, restore, verify,
};
use parlant_test_support::TestDatabase;
use tempfile::TempDir;

const TABLES: &str = r#"
create type mood as enum ('calm', 'cross');
create table kind (id int primary key, name text not null unique);
create table item (
  id bigint generated always as identity primary key,
  kind_id int not null references kind,
  mood mood not null, amount numeric, flags bit varying, data jsonb, bytes bytea, list text[], at timestamptz, "Odd ""name" text
);
create index on item (kind_id, at);
create unlogged table "Odd ""table" (x int);
create table part (k int, v text) partition by range (k);
create table part_low partition of part for values from (0) to (100);
create table part_high partition of part for values from (100) to (1000);
create view cross_items as select * from item where mood = 'cross';
create materialized view per_kind as select kind_id, count(*) from item group by 1;
insert into kind select i, 'kind ' || i from generate_series(1, 20) i;
insert into item (kind_id, mood, amount, flags, data, bytes, list, at, "Odd ""name")
  select 1 + i % 20, case when i % 3 = 0 then 'cross' else 'calm' end::mood, i / 7.0, (i % 256)::bit(8),
    jsonb_build_object('i', i, 'text', md5(i::text)), decode(md5(i::text), 'hex'), array['a', null, i::text],
    now() - i * interval '1 minute', case when i % 5 = 0 then E'back\\slash\ttab\nline' end
  from generate_series(1, 3000) i;
insert into "Odd ""table" select generate_series(1, 5);
insert into part select i, md5(i::text) from generate_series(0, 999) i;
refresh materialized view per_kind;
select lo_from_bytea(0, 'a large object');
"#;

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) config: Config,
    pub(crate) store: Store,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let world = Self::empty().await;
        world.run(TABLES).await;
        world
    }

    pub(crate) async fn empty() -> Self {
        let dir = TempDir::new().unwrap();
        let config = Config::new(dir.path().join("backups"));
        let store = Store::Dir(config.dir.clone());
        Self { database: parlant_test_support::empty_database().await, config, store, _dir: dir }
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.database.superuser().await.batch_execute(sql).await.expect(sql);
    }

    pub(crate) fn url(&self) -> parlant_db_pool::Config {
        parlant_db_pool::Config::new(self.database.superuser_url())
    }

    pub(crate) async fn backup(&self) -> Manifest {
        let lock = Lock::take(&self.config.dir).unwrap();
        let request = Request::default();
        let made = make(&self.config, &self.url(), &request, &lock, &Reporter::default(), pending()).await;
        made.unwrap().manifest
    }

    /// Level 1: every byte.
    pub(crate) async fn read(&self, name: Name) -> Result<Evidence, Error> {
        verify(&self.config, &self.store, name, None, &Reporter::default(), pending()).await
    }

    /// Level 2, on the server of the tests.
    pub(crate) async fn verify(&self, name: Name) -> Result<Evidence, Error> {
        let server = Server::connect(&self.url()).await?;
        verify(&self.config, &self.store, name, Some(&server), &Reporter::default(), pending()).await
    }

    pub(crate) async fn restore(&self, name: Name, request: &RestoreRequest) -> Result<Restored, Error> {
        let (url, progress) = (self.url(), Reporter::default());
        Box::pin(restore(&self.config, &url, &self.store, name, request, &progress, pending())).await
    }

    pub(crate) fn archive(&self, manifest: &Manifest) -> PathBuf {
        self.config.dir.join(&manifest.archive.file)
    }

    /// Changes the manifest as somebody would with an editor.
    pub(crate) fn edit(&self, name: Name, edit: impl FnOnce(&mut serde_json::Value)) {
        let path = self.config.dir.join(name.manifest_file());
        let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut manifest);
        fs::write(path, manifest.to_string()).unwrap();
    }
}

/// Into the database `name`, whatever happens to one that is there.
pub(crate) fn into(name: &str, existing: Existing) -> RestoreRequest {
    RestoreRequest {
        database: name.to_owned(),
        existing,
        force: false,
        no_owner: false,
        no_privileges: false,
        jobs: Some(2),
    }
}
