//! What people read; machines read the same data as JSON.

use std::fmt::Write as _;

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

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
