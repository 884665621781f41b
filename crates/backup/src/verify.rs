//! Whether a backup is one: by reading it, or by restoring it.

use std::thread::available_parallelism;

use chrono::Utc;
use parlant_embedded_postgres::major_version;
use tokio::time::Instant;

use crate::load::Load;
use crate::progress::Reporter;
use crate::scratch::{Locale, Server};
use crate::tools::find_program;
use crate::{Config, Damage, Error, Evidence, Level, Manifest, Name, Store, differences};

/// What a trial restore leaves out: it would need roles, storage or servers of the production system.
const WITHOUT: [&str; 6] = [
    "--no-owner",
    "--no-privileges",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
];

/// Starts, or connects to, the server for trial restores, so that it is ready when the dump is.
pub async fn trial_server(config: &Config) -> Result<Server, Error> {
    match &config.verify_url {
        Some(url) => Server::connect(&parlant_db_pool::Config::new(url.clone())).await,
        None => Server::private(config.bin_dir.as_deref()).await,
    }
}

/// Examines a backup: restores it into a scratch database on `server` and compares every table, or without a server
/// reads all of it. What was found is written beside it, good or bad; an error that is not the backup's is not, and
/// neither is it when the key may be the wrong one, or when a backup that was only read is good.
///
/// # Errors
/// [`Error::Damaged`] names what is wrong with the backup. Everything else means that nobody knows.
pub async fn verify(
    config: &Config,
    store: &Store,
    name: Name,
    server: Option<&Server>,
    progress: &Reporter,
    interrupted: impl Future<Output = String>,
) -> Result<Evidence, Error> {
    let (manifest, bytes) = manifest(store, name).await?;
    let (begun, clock) = (Utc::now(), Instant::now());
    let level = if server.is_some() { Level::Restore } else { Level::Read };
    let mut evidence = Evidence::new(&manifest, &bytes, level, begun);
    evidence.versions.program.clone_from(&config.program_version);
    let examined = examine(config, store, &manifest, server, &mut evidence, progress, interrupted).await;
    evidence.duration_seconds = clock.elapsed().as_secs_f64();
    match examined {
        Ok(()) => {
            if level == Level::Restore {
                evidence.write(store).await?;
            }
            Ok(evidence)
        }
        Err(error) => {
            if let Error::Damaged { damage, .. } = &error
                && damage.is_certain()
            {
                evidence.damage = Some(damage.clone());
                if let Err(unwritten) = evidence.write(store).await {
                    tracing::warn!("That {name} is damaged could not be written to {store}: {unwritten}");
                }
            }
            Err(error)
        }
    }
}

async fn examine(
    config: &Config,
    store: &Store,
    manifest: &Manifest,
    server: Option<&Server>,
    evidence: &mut Evidence,
    progress: &Reporter,
    interrupted: impl Future<Output = String>,
) -> Result<(), Error> {
    // A private server's own programs know exactly what it knows.
    let bin_dir = server.and_then(Server::bin_dir).or(config.bin_dir.as_deref());
    let tool = find_program("pg_restore", bin_dir, manifest.pg_dump_major()).await?;
    evidence.versions.pg_restore.clone_from(&tool.version);
    let jobs = available_parallelism().map_or(1, usize::from);
    let identity = config.identity.as_deref();
    let load = Load { store, manifest, identity, tool: &tool, without: &WITHOUT, jobs, progress };
    let Some(server) = server else {
        progress.step("Reading", manifest.archive.plain_size_bytes);
        return unless(interrupted, load.read()).await;
    };
    evidence.versions.server_major = Some(server.major);
    evidence.versions.private = server.is_private();
    server.accepts(manifest).await?;
    progress.step("Restoring", manifest.archive.plain_size_bytes);
    // Sorting by the bytes is faster, and needs no locale that this system may not have.
    let locale = Locale { encoding: &manifest.database.encoding, collate: "C", ctype: "C" };
    let scratch = server.scratch("verify", Utc::now(), &locale).await?;
    let compared = unless(interrupted, scratch.fill(&load)).await;
    scratch.discard().await?;
    compared?;
    evidence.tables = manifest.tables.len();
    evidence.rows = manifest.tables.values().map(|table| table.rows).sum();
    Ok(())
}

/// Does the work, or gives it up when somebody wants that.
pub(crate) async fn unless<T>(
    interrupted: impl Future<Output = String>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        done = work => done,
        reason = interrupted => Err(Error::Interrupted(reason)),
    }
}

/// Reads the manifest of a backup, also as the bytes that it is.
pub(crate) async fn manifest(store: &Store, name: Name) -> Result<(Manifest, Vec<u8>), Error> {
    let bytes = store.read(&name.manifest_file()).await?;
    let bytes = bytes.ok_or_else(|| Error::Manifest {
        name: name.to_string(),
        reason: format!("{store} has none, so there is no such backup"),
    })?;
    Ok((Manifest::parse(name, &bytes)?, bytes))
}

impl Manifest {
    /// The major version of `pg_dump`, which an older `pg_restore` may not understand.
    pub(crate) fn pg_dump_major(&self) -> u32 {
        major_version(&self.versions.pg_dump).unwrap_or(0)
    }

    /// The major version of the server, which an older server may not understand.
    pub(crate) fn server_major(&self) -> u32 {
        major_version(&self.versions.server).unwrap_or(0)
    }
}

impl Server {
    /// Refuses what it could not restore for want of a version or an extension.
    pub(crate) async fn accepts(&self, manifest: &Manifest) -> Result<(), Error> {
        let (have, need) = (self.major, manifest.server_major());
        let way_out = if self.is_private() {
            "install it here, or set BACKUP_VERIFY_URL to a server that has it"
        } else {
            "restore to a server that has it"
        };
        if have < need {
            return Err(Error::Refused(format!("the dump is of PostgreSQL {need}, the server is {have}: {way_out}")));
        }
        let sql = "-- missing_extensions
select wanted from unnest($1::text[]) wanted
where not exists (select from pg_catalog.pg_available_extensions e where e.name = wanted)";
        let wanted = &manifest.database.extensions;
        let missing = self.admin.query_typed(sql, &[(wanted, tokio_postgres::types::Type::TEXT_ARRAY)]).await;
        let missing = missing.map_err(Error::database("list its extensions"))?;
        let missing: Vec<String> = missing.iter().map(|row| row.get(0)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::Refused(format!("the dump needs the extension {}: {way_out}", missing.join(", "))))
    }
}

impl crate::scratch::Scratch<'_> {
    /// Restores into it, and fails unless its tables are those of the manifest then.
    pub(crate) async fn fill(&self, load: &Load<'_>) -> Result<(), Error> {
        load.restore(&self.config(), &self.name).await?;
        load.progress.step("Comparing", 0);
        let manifest = load.manifest;
        let differences = differences(&manifest.tables, &self.fingerprints(&manifest.scope).await?);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Damaged { name: manifest.name.to_string(), damage: Damage::Content { differences } })
    }
}
