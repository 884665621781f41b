//! Making a backup: the checks, and the steps in their order.

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::dump::{Dumped, Job, check_recipients};
use crate::files::{Temporary, prepare, publish, temporary};
use crate::name::TEMPORARY;
use crate::progress::Reporter;
use crate::source::Source;
use crate::store::blocking;
use crate::tools::find_program;
use crate::upload::{Written, follow};
use crate::{Archive, Bucket, Config, Error, Lock, Manifest, Name, Options, Scope, Store, Versions};

/// How long after the end of a run an upload may take to tell the service that it was given up.
const GOODBYE: Duration = Duration::from_secs(5);

/// What shall be backed up, and how.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What part of the database.
    pub scope: Scope,
    /// Whether Sim's sessions and one-time tokens are left out, when they are there.
    pub without_sessions: bool,
    /// Options of the dump.
    pub options: Options,
}

/// A backup that was just made.
#[derive(Debug)]
pub struct Made {
    /// What it is; written to the disk, and to the bucket if the upload worked.
    pub manifest: Manifest,
    /// Whether the bucket has it as well; none without a bucket.
    pub uploaded: Option<Result<(), Error>>,
    /// What it does not have, for people.
    pub warnings: Vec<String>,
}

/// Makes a backup of `database` in the directory of `config`, and in its bucket at the same time.
///
/// Nothing that fails, `interrupted` included, leaves a file that looks like a backup; a bucket that fails leaves the
/// one in the directory. What a killed run left in the directory is removed first.
pub async fn make(
    config: &Config,
    database: &parlant_db_pool::Config,
    request: &Request,
    _lock: &Lock,
    progress: &Reporter,
    interrupted: impl Future<Output = String>,
) -> Result<Made, Error> {
    // Uploads run in tasks of their own, which have something to tidy up when this one gives up.
    let uploads = TaskTracker::new();
    let outcome = tokio::select! {
        outcome = steps(config, database, request, progress, &uploads) => outcome,
        reason = interrupted => Err(Error::Interrupted(reason)),
    };
    uploads.close();
    let _ = timeout(GOODBYE, uploads.wait()).await;
    outcome
}

async fn steps(
    config: &Config,
    database: &parlant_db_pool::Config,
    request: &Request,
    progress: &Reporter,
    uploads: &TaskTracker,
) -> Result<Made, Error> {
    progress.step("Checking", 0);
    reap(&config.dir)?;
    check_recipients(&config.recipients).await?;
    let name = free_name(&config.dir, !config.recipients.is_empty()).await;
    let created_at = Utc::now();
    let source = Source::open(database, request.scope.clone(), request.without_sessions).await?;
    let tool = find_program("pg_dump", config.bin_dir.as_deref(), source.server_major).await?;
    let expected_size = check_space(&config.dir, source.table_bytes)?;

    progress.step("Dumping", source.table_bytes);
    let archive = name.archive_file(!config.recipients.is_empty());
    let path = config.dir.join(&archive);
    let (file, handle) = Temporary::create(&path)?;
    let written = watch::Sender::new(Written::default());
    let upload = config.bucket.clone().map(|bucket| {
        let (archive, path, written) = (archive.clone(), file.path().to_owned(), written.subscribe());
        uploads.spawn(async move { follow(&bucket, &archive, &path, expected_size, written).await })
    });
    let job = Job { tool: &tool, source: &source, options: request.options, recipients: &config.recipients };
    let dumped = job.run(handle, file.path(), written.clone(), progress);
    let (dumped, tables) = tokio::try_join!(dumped, source.fingerprints())?;

    let Dumped { plain_size, size, sha256 } = dumped;
    let manifest = Manifest {
        format_version: Manifest::FORMAT_VERSION,
        name,
        created_at,
        finished_at: Utc::now(),
        versions: Versions {
            program: config.program_version.clone(),
            pg_dump: tool.version,
            server: source.server_version,
        },
        database: source.database,
        snapshot: source.snapshot,
        lsn: source.lsn,
        migration_version: source.migration_version,
        scope: source.scope,
        options: request.options,
        tables,
        archive: Archive {
            file: archive,
            format: "custom".to_owned(),
            compression: "zstd".to_owned(),
            encryption: (!config.recipients.is_empty()).then(|| "age".to_owned()),
            size_bytes: size,
            sha256,
            plain_size_bytes: plain_size,
        },
    };
    let text = manifest.to_json()?;
    let (manifest_path, copy) = (config.dir.join(name.manifest_file()), text.clone());
    blocking(move || {
        // Both are on the disk before either has its name: what a kill leaves between the two is whole.
        let prepared = prepare(&manifest_path, &copy, 0o600)?;
        file.publish(&path)?;
        prepared.publish(&manifest_path)
    })
    .await?;

    let uploaded = match (&config.bucket, upload) {
        (Some(bucket), Some(upload)) => {
            progress.step("Uploading", 0);
            written.send_modify(|written| written.complete = true);
            let stored = upload.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            Some(complete(bucket, &config.dir, &manifest, text, stored).await)
        }
        _ => None,
    };
    Ok(Made { manifest, uploaded, warnings: source.warnings })
}

/// Tries once more what failed while the dump was running, and stores the manifest.
async fn complete(
    bucket: &Bucket,
    dir: &Path,
    manifest: &Manifest,
    text: Vec<u8>,
    stored: Result<(), Error>,
) -> Result<(), Error> {
    if let Err(error) = stored {
        tracing::warn!("The upload is tried again: {error}");
        let Archive { file, size_bytes: bytes, .. } = &manifest.archive;
        let written = watch::Sender::new(Written { bytes: *bytes, complete: true }).subscribe();
        follow(bucket, file, &dir.join(file), *bytes, written).await?;
    }
    Store::Bucket(bucket.clone()).write(&manifest.name.manifest_file(), text).await
}

/// Removes what killed runs left; the lock says that they are over. One that was killed between giving the archive and
/// the manifest their names is finished.
fn reap(dir: &Path) -> Result<(), Error> {
    let listed = std::fs::read_dir(dir).map_err(Error::io("list", dir))?;
    for entry in listed.flatten() {
        let left = entry.path();
        let file = entry.file_name();
        let Some((whole, name)) = file.to_str().and_then(|file| {
            let whole = file.strip_suffix(TEMPORARY)?;
            Some((whole, Name::of_file(whole)?))
        }) else {
            continue;
        };
        let has_archive = [false, true].iter().any(|encrypted| dir.join(name.archive_file(*encrypted)).exists());
        if whole == name.manifest_file() && has_archive {
            publish(&left, &dir.join(whole))?;
        } else {
            tracing::info!("Removing {}, which a run that was killed left", left.display());
            std::fs::remove_file(&left).map_err(Error::io("remove", &left))?;
        }
    }
    Ok(())
}

/// The present second, or the next one that no backup is named after.
async fn free_name(dir: &Path, encrypted: bool) -> Name {
    loop {
        let name = Name::new(Utc::now());
        let files = [name.manifest_file(), name.archive_file(encrypted), name.archive_file(!encrypted)];
        if !files.iter().map(|file| dir.join(file)).any(|path| path.exists() || temporary(&path).exists()) {
            return name;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Refuses to begin what the disk has no room for; tells how large the archive may become. What our tables hold comes
/// to a quarter of their size on disk, so half is a careful guess; running out of space in spite of it harms nothing.
fn check_space(dir: &Path, table_bytes: u64) -> Result<u64, Error> {
    let needed = table_bytes / 2;
    let stat = rustix::fs::statvfs(dir).map_err(|error| Error::io("measure", dir)(error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed {
        let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
        return Err(Error::Refused(format!(
            "{} has {} MiB free, and the backup may need {} MiB",
            dir.display(),
            mib(free),
            mib(needed)
        )));
    }
    Ok(needed)
}
