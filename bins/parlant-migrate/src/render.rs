//! What people read; machines read the same data as JSON.

use std::fmt::Write as _;

use chrono::SecondsFormat;
use parlant_schema::{Plan, Report, State, Status};

/// The tables, the history and what is wrong.
pub(crate) fn status(status: &Status) -> String {
    let mut text = format!("Schema status: {}\n", word(status.state));
    section(
        &mut text,
        "Tables",
        status
            .tables
            .iter()
            .map(|table| (table.name.clone(), if table.exists { "exists" } else { "missing" }.to_owned())),
    );
    section(
        &mut text,
        "Applied",
        status.applied.iter().map(|row| {
            let when = row.applied_on.map_or("?".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
            (row.version.to_string(), when)
        }),
    );
    section(&mut text, "Pending", status.pending.iter().map(|version| (version.to_string(), String::new())));
    section(&mut text, "Problems", status.problems.iter().map(|problem| (problem.to_string(), String::new())));
    text
}

/// What each pending file would do to the people who use the tables.
pub(crate) fn plan(plan: &Plan) -> String {
    if plan.files.is_empty() {
        return "Nothing to apply.".to_owned();
    }
    let mut text = "Tried in an empty scratch database; on tables with rows it takes longer.\n".to_owned();
    for file in &plan.files {
        let how = if file.transaction { "" } else { ", outside of a transaction" };
        let _ = writeln!(text, "\n{} ({} ms{how})", file.ran.version, file.ran.duration_ms);
        let (existing, new): (Vec<_>, Vec<_>) = file.locks.iter().partition(|lock| lock.existed);
        for lock in existing {
            let _ = writeln!(text, "  locks    {} {}", lock.relation, lock.mode.as_sql());
        }
        for lock in new {
            let _ = writeln!(text, "  creates  {}", lock.relation);
        }
        for warning in &file.warnings {
            let _ = writeln!(text, "  WARNING  {warning}");
        }
    }
    text
}

/// What was done.
pub(crate) fn report(report: &Report) -> String {
    if report.applied.is_empty() {
        return "Nothing to apply.".to_owned();
    }
    let mut text = String::new();
    for ran in &report.applied {
        let _ = writeln!(text, "Applied {} in {} ms", ran.version, ran.duration_ms);
    }
    text
}

fn word(state: State) -> &'static str {
    match state {
        State::UpToDate => "up to date",
        State::Pending => "pending",
        State::Diverged => "diverged",
        State::Newer => "newer than this program",
    }
}

/// A heading and its lines in two columns; nothing at all without lines.
fn section(text: &mut String, title: &str, lines: impl Iterator<Item = (String, String)>) {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let width = lines.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let _ = writeln!(text, "\n{title}");
    for (left, right) in lines {
        let _ = writeln!(text, "{}", format!("  {left:width$}  {right}").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlant_schema::{Applied, LockMode, PlannedFile, Problem, Ran, RelationLock, Table, Version};

    fn version(version: i32, name: &str) -> Version {
        Version { version, name: name.to_owned() }
    }

    #[test]
    fn a_status_reads_like_this() {
        let shown = Status {
            state: State::Diverged,
            applied: vec![
                Applied { version: version(1, "agents"), applied_on: "2026-11-23T20:04:05.678901234Z".parse().ok() },
                Applied { version: version(12, "more_agents"), applied_on: None },
            ],
            pending: vec![version(13, "events")],
            problems: vec![Problem::Edited(version(12, "more_agents"))],
            tables: vec![
                Table { name: "parlant_agent".to_owned(), exists: true },
                Table { name: "parlant_event".to_owned(), exists: false },
            ],
        };
        assert_eq!(
            status(&shown),
            "\
Schema status: diverged

Tables
  parlant_agent  exists
  parlant_event  missing

Applied
  V1__agents        2026-11-23T20:04:05Z
  V12__more_agents  ?

Pending
  V13__events

Problems
  V12__more_agents was applied with another text or name than this program has
"
        );
    }

    #[test]
    fn a_plan_reads_like_this() {
        let lock =
            |relation: &str, mode, existed| RelationLock { relation: relation.to_owned(), table: true, mode, existed };
        let file = |ran, transaction, locks, warnings| PlannedFile { ran, transaction, locks, warnings };
        let shown = Plan {
            status: Status {
                state: State::Pending,
                applied: Vec::new(),
                pending: Vec::new(),
                problems: Vec::new(),
                tables: Vec::new(),
            },
            files: vec![
                file(
                    Ran { version: version(4, "notes"), duration_ms: 12 },
                    true,
                    vec![
                        lock("parlant_agent", LockMode::AccessExclusive, true),
                        lock("parlant_note", LockMode::AccessExclusive, false),
                    ],
                    vec!["nobody can read".to_owned()],
                ),
                file(
                    Ran { version: version(5, "index"), duration_ms: 3 },
                    false,
                    vec![lock("parlant_agent", LockMode::ShareUpdateExclusive, true)],
                    Vec::new(),
                ),
            ],
        };
        assert_eq!(
            plan(&shown),
            "\
Tried in an empty scratch database; on tables with rows it takes longer.

V4__notes (12 ms)
  locks    parlant_agent ACCESS EXCLUSIVE
  creates  parlant_note
  WARNING  nobody can read

V5__index (3 ms, outside of a transaction)
  locks    parlant_agent SHARE UPDATE EXCLUSIVE
"
        );
    }
}
