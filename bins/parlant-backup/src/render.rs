//! What people read; machines read the same data as JSON.

use std::fmt::Write as _;

use parlant_backup_core::{Evidence, Level, Restored, State};

use crate::examine::{Inventory, Pruning, Verdict};
use crate::make::Outcome;

/// What a run came to.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: {}, {} rows in {} tables, {:.1} s\n",
        outcome.archive.display(),
        size(outcome.size_bytes),
        outcome.rows,
        outcome.tables,
        outcome.duration_seconds,
    );
    let checked = |text: &mut String, what: &str, done: Option<bool>, error: Option<&String>| match (done, error) {
        (Some(true), _) => drop(writeln!(text, "{what}: yes")),
        (Some(false), Some(error)) => drop(writeln!(text, "{what}: FAILED: {error}")),
        _ => drop(writeln!(text, "{what}: no")),
    };
    checked(&mut text, "Verified", outcome.verified, outcome.verification_error.as_ref());
    if outcome.uploaded.is_some() {
        checked(&mut text, "Uploaded", outcome.uploaded, outcome.upload_error.as_ref());
    }
    for name in &outcome.pruned {
        let _ = writeln!(text, "Deleted {name}");
    }
    for warning in &outcome.warnings {
        let _ = writeln!(text, "WARNING: {warning}");
    }
    text
}

/// What there is.
pub(crate) fn list(places: &[Inventory]) -> String {
    let mut text = String::new();
    for place in places {
        let _ = writeln!(text, "{}", place.place);
        for backup in &place.backups {
            let state = match &backup.state {
                State::Verified { verified_at } => format!("verified {}", verified_at.format("%Y-%m-%d %H:%M")),
                State::Unverified => "unverified".to_owned(),
                State::Damaged { reason } => format!("DAMAGED: {reason}"),
                State::Incomplete { reason } => format!("INCOMPLETE: {reason}"),
            };
            let _ = writeln!(text, "  {}  {:>12}  {state}", backup.name, size(backup.size_bytes));
        }
        match &place.error {
            Some(error) => drop(writeln!(text, "  ERROR: {error}")),
            None if place.backups.is_empty() => drop(writeln!(text, "  no backups")),
            None => {}
        }
    }
    text
}

/// What a verification found.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    let Verdict { place, evidence } = verdict;
    let Evidence { name, level, tables, rows, duration_seconds, .. } = evidence;
    match level {
        Level::Read => {
            format!("{name} in {place}: every byte can be read ({duration_seconds:.1} s); nothing was restored")
        }
        Level::Restore => {
            format!(
                "{name} in {place}: restored, {rows} rows in {tables} tables are as in the manifest ({duration_seconds:.1} s)"
            )
        }
    }
}

/// What was restored, and how to take it back.
pub(crate) fn restored(restored: &Restored) -> String {
    let Restored { name, created_at, database, kept, undo, tables, rows, duration_seconds } = restored;
    let mut text = format!(
        "{name} of {created_at} is restored as {database}: {rows} rows in {tables} tables are as in the manifest ({duration_seconds:.1} s)\n"
    );
    if let Some(kept) = kept {
        let _ = writeln!(text, "The former database is kept as {kept}. To take the swap back:");
        for statement in undo {
            let _ = writeln!(text, "  {statement}");
        }
    }
    text
}

/// What goes and what stays.
pub(crate) fn pruning(places: &[Pruning]) -> String {
    let mut text = String::new();
    for place in places {
        let _ = writeln!(text, "{}", place.place);
        let verb = if place.dry_run { "would delete" } else { "deleted" };
        for name in &place.deleted {
            let _ = writeln!(text, "  {verb} {name}");
        }
        for kept in &place.kept {
            let _ = writeln!(text, "  kept {}: {:?}", kept.name, kept.reason);
        }
        let _ = writeln!(text, "  {}: {}", if place.dry_run { "would free" } else { "freed" }, size(place.freed_bytes));
    }
    text
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
