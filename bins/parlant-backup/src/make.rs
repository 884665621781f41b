//! `run`: a backup, its trial restore, what may go, and who has to know.

use std::path::PathBuf;
use std::time::Instant;

use chrono::Utc;
use parlant_backup_core::{
    Error, Evidence, Lock, Made, Name, Numbers, Options, Request, Scope, Server, Store, make, prune, trial_server,
    verify, write_textfile,
};
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::cli::{PlaceArguments, RunArguments};
use crate::signals::{Interruption, interruption};
use crate::{Context, Exit, alert, render, with_causes};

/// A backup that is kept, and how much it is worth.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) archive: PathBuf,
    pub(crate) size_bytes: u64,
    pub(crate) plain_size_bytes: u64,
    pub(crate) tables: usize,
    pub(crate) rows: u64,
    pub(crate) duration_seconds: f64,
    /// None when nobody asked.
    pub(crate) verified: Option<bool>,
    pub(crate) verification_error: Option<String>,
    /// None without a bucket.
    pub(crate) uploaded: Option<bool>,
    pub(crate) upload_error: Option<String>,
    /// Names of older backups that were deleted.
    pub(crate) pruned: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

pub(crate) async fn run(context: &Context<'_>, arguments: &RunArguments) -> anyhow::Result<Exit> {
    let outcome = Box::pin(back_up(context, arguments)).await;
    match &outcome {
        Ok(outcome) => {
            context.print(outcome, render::outcome)?;
            let problems: Vec<_> = [&outcome.verification_error, &outcome.upload_error].into_iter().flatten().collect();
            if problems.is_empty() {
                return Ok(Exit::Good);
            }
            let problems: Vec<_> = problems.into_iter().map(|problem| format!("{}: {problem}", outcome.name)).collect();
            alert::send(context, Exit::Doubtful, &problems.join("\n")).await;
            Ok(Exit::Doubtful)
        }
        Err(error) => {
            let exit = Exit::from(error);
            if exit != Exit::Locked {
                // The series are there from the first run on, and old.
                record(context, Numbers::default());
                alert::send(context, exit, &format!("{error:#}")).await;
            }
            outcome.map(|_| exit)
        }
    }
}

async fn back_up(context: &Context<'_>, arguments: &RunArguments) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let config = &context.config;
    let interrupted = interruption(Some(arguments.timeout))?;
    let lock = Lock::take(&config.dir)?;
    let request = Request {
        scope: Scope { only_parlant: arguments.only_parlant, without_data: arguments.without_data.clone() },
        without_sessions: arguments.without_sessions,
        options: Options { no_owner: arguments.no_owner, no_privileges: arguments.no_privileges },
    };
    // A private server is ready by the time that the dump is.
    let server = (!arguments.no_verify).then(|| {
        let config = config.clone();
        tokio::spawn(async move { trial_server(&config).await })
    });
    let made = make(config, &context.database, &request, &lock, &context.progress, interrupted.clone()).await;
    let Made { manifest, uploaded, mut warnings } = made.inspect_err(|_| {
        if let Some(server) = &server {
            server.abort();
        }
    })?;

    let verified = match server {
        Some(server) => Some(try_out(context, manifest.name, server, interrupted).await),
        None => None,
    };
    if let (Some(Ok(evidence)), Some(Ok(())), Some(bucket)) = (&verified, &uploaded, &config.bucket)
        && let Err(error) = evidence.write(&Store::Bucket(bucket.clone())).await
    {
        warnings.push(format!("the bucket does not know that the backup is verified: {error}"));
    }
    record(
        context,
        Numbers {
            success: Some(manifest.created_at),
            verified: matches!(verified, Some(Ok(_))).then_some(manifest.created_at),
            duration_seconds: Some(begun.elapsed().as_secs_f64()),
            size_bytes: Some(manifest.archive.size_bytes),
        },
    );
    let mut pruned = Vec::new();
    let stores = if arguments.no_prune { Vec::new() } else { context.stores(&PlaceArguments::default())? };
    for store in stores {
        context.progress.step("Pruning", 0);
        match prune(&store, &config.retention, Utc::now(), false).await {
            Ok(backups) => pruned
                .extend(backups.iter().filter(|backup| backup.kept.is_none()).map(|backup| backup.name.to_string())),
            Err(error) => warnings.push(format!("old backups in {store} stay: {}", with_causes(error))),
        }
    }
    pruned.dedup();
    Ok(Outcome {
        name: manifest.name.to_string(),
        archive: config.dir.join(&manifest.archive.file),
        size_bytes: manifest.archive.size_bytes,
        plain_size_bytes: manifest.archive.plain_size_bytes,
        tables: manifest.tables.len(),
        rows: manifest.tables.values().map(|table| table.rows).sum(),
        duration_seconds: begun.elapsed().as_secs_f64(),
        verified: verified.as_ref().map(Result::is_ok),
        verification_error: verified.and_then(|verified| verified.err().map(with_causes)),
        uploaded: uploaded.as_ref().map(Result::is_ok),
        upload_error: uploaded.and_then(|uploaded| uploaded.err().map(with_causes)),
        pruned,
        warnings,
    })
}

/// Restores the backup on the server, once that is there, and compares.
async fn try_out(
    context: &Context<'_>,
    name: Name,
    server: JoinHandle<Result<Server, Error>>,
    interrupted: Interruption,
) -> Result<Evidence, Error> {
    let store = Store::Dir(context.config.dir.clone());
    let server = tokio::select! {
        server = server => server.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?,
        reason = interrupted.clone() => return Err(Error::Interrupted(reason)),
    };
    let verified = verify(&context.config, &store, name, Some(&server), &context.progress, interrupted).await;
    server.stop().await;
    verified
}

/// Writes the text file, if one is configured. Its failure spoils no backup.
pub(crate) fn record(context: &Context<'_>, numbers: Numbers) {
    if let Some(path) = &context.config.metrics_file
        && let Err(error) = write_textfile(path, numbers)
    {
        tracing::warn!("The metrics are not written: {}", with_causes(error));
    }
}
