//! `list`, `verify`, `restore` and `prune`: what becomes of backups that are there.

use chrono::Utc;
use parlant_backup_core::{
    Evidence, Existing, Level, Listed, Lock, Name, Numbers, Reason, RestoreRequest, find, list as list_store,
    prune as prune_store, restore as restore_backup, trial_server, verify as verify_backup,
};
use serde::Serialize;

use crate::cli::{PlaceArguments, PruneArguments, RestoreArguments, VerifyArguments};
use crate::make::record;
use crate::signals::interruption;
use crate::{Context, Exit, render, with_causes};

/// The backups of one place.
#[derive(Debug, Serialize)]
pub(crate) struct Inventory {
    pub(crate) place: String,
    pub(crate) backups: Vec<Listed>,
    /// Why nobody knows.
    pub(crate) error: Option<String>,
}

/// What a verification found.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) place: String,
    #[serde(flatten)]
    pub(crate) evidence: Evidence,
}

/// What goes and what stays in one place.
#[derive(Debug, Serialize)]
pub(crate) struct Pruning {
    pub(crate) place: String,
    pub(crate) dry_run: bool,
    pub(crate) deleted: Vec<Name>,
    pub(crate) freed_bytes: u64,
    pub(crate) kept: Vec<Kept>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Kept {
    pub(crate) name: Name,
    pub(crate) reason: Reason,
}

pub(crate) async fn list(context: &Context<'_>, arguments: &PlaceArguments) -> anyhow::Result<Exit> {
    let mut places = Vec::new();
    for store in context.stores(arguments)? {
        let (backups, error) = match list_store(&store).await {
            Ok(backups) => (backups, None),
            // One place that is out of reach does not hide the other.
            Err(error) => (Vec::new(), Some(with_causes(error))),
        };
        places.push(Inventory { place: store.to_string(), backups, error });
    }
    context.print(&places, |places| render::list(places))?;
    Ok(if places.iter().any(|place| place.error.is_some()) { Exit::Failed } else { Exit::Good })
}

pub(crate) async fn verify(context: &Context<'_>, arguments: &VerifyArguments) -> anyhow::Result<Exit> {
    let interrupted = interruption(None)?;
    let (store, name) = find(&context.config, arguments.s3, &arguments.backup, false).await?;
    let server = if arguments.read_only { None } else { Some(trial_server(&context.config).await?) };
    let (config, progress) = (&context.config, &context.progress);
    let verified = verify_backup(config, &store, name, server.as_ref(), progress, interrupted).await;
    if let Some(server) = server {
        server.stop().await;
    }
    let evidence = verified?;
    if evidence.level == Level::Restore {
        record(context, Numbers { verified: Some(evidence.verified_at), ..Numbers::default() });
    }
    context.print(&Verdict { place: store.to_string(), evidence }, render::verdict)?;
    Ok(Exit::Good)
}

pub(crate) async fn restore(context: &Context<'_>, arguments: &RestoreArguments) -> anyhow::Result<Exit> {
    let existing = match (arguments.swap, &arguments.replace) {
        (true, _) => Existing::Swap,
        (false, Some(name)) if *name == arguments.database => Existing::Replace,
        (false, Some(_)) => anyhow::bail!("--replace must repeat the name of the database, {}", arguments.database),
        (false, None) => Existing::Refuse,
    };
    let interrupted = interruption(None)?;
    let (store, name) = find(&context.config, arguments.s3, &arguments.backup, true).await?;
    let request = RestoreRequest {
        database: arguments.database.clone(),
        existing,
        force: arguments.force,
        no_owner: arguments.no_owner,
        no_privileges: arguments.no_privileges,
        jobs: arguments.jobs.map(usize::from),
    };
    let (config, progress) = (&context.config, &context.progress);
    let restored = restore_backup(config, &context.database, &store, name, &request, progress, interrupted).await?;
    context.print(&restored, render::restored)?;
    Ok(Exit::Good)
}

pub(crate) async fn prune(context: &Context<'_>, arguments: &PruneArguments) -> anyhow::Result<Exit> {
    let _lock = Lock::take(&context.config.dir)?;
    let mut places = Vec::new();
    for store in context.stores(&arguments.place)? {
        let pruned = prune_store(&store, &context.config.retention, Utc::now(), arguments.dry_run).await?;
        let gone = || pruned.iter().filter(|one| one.kept.is_none());
        places.push(Pruning {
            place: store.to_string(),
            dry_run: arguments.dry_run,
            deleted: gone().map(|one| one.name).collect(),
            freed_bytes: gone().map(|one| one.size_bytes).sum(),
            kept: pruned.iter().filter_map(|one| Some(Kept { name: one.name, reason: one.kept? })).collect(),
        });
    }
    context.print(&places, |places| render::pruning(places))?;
    Ok(Exit::Good)
}
