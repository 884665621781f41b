//! The numbers of the last backups, for the textfile collector of Prometheus' node-exporter.

use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::Error;
use crate::files::write_whole;

const METRICS: [(&str, &str); 4] = [
    ("parlant_backup_last_success_timestamp_seconds", "When the newest complete backup was begun; 0 = never"),
    ("parlant_backup_last_verified_timestamp_seconds", "When a backup was last restored and found equal; 0 = never"),
    ("parlant_backup_last_duration_seconds", "How long the newest complete backup took, its verification included"),
    ("parlant_backup_last_size_bytes", "Size of the newest complete backup"),
];

/// What became known; what is none stays as it was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    /// When the newest complete backup was begun.
    pub success: Option<DateTime<Utc>>,
    /// When a backup was last restored and found equal.
    pub verified: Option<DateTime<Utc>>,
    /// Seconds that the newest complete backup took.
    pub duration_seconds: Option<f64>,
    /// Its bytes.
    pub size_bytes: Option<u64>,
}

/// Writes the file at `path` anew. A run that failed writes it as well, so that the series are there, and old.
pub fn write_textfile(path: &Path, numbers: Numbers) -> Result<(), Error> {
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let seconds = |time: DateTime<Utc>| time.timestamp() as f64;
    let new = [
        numbers.success.map(seconds),
        numbers.verified.map(seconds),
        numbers.duration_seconds,
        numbers.size_bytes.map(|bytes| bytes as f64),
    ];
    let mut text = String::new();
    for ((name, help), value) in METRICS.into_iter().zip(new) {
        let value = value.or_else(|| previous(&known, name)).unwrap_or(0.0);
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    }
    write_whole(path, text.as_bytes(), 0o644)
}

fn previous(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_did_not_learn_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("parlant_backup.prom");
        let read = |name| previous(&std::fs::read_to_string(&path).unwrap(), name);
        write_textfile(&path, Numbers::default()).unwrap();
        assert_eq!(METRICS.map(|(name, _)| read(name)), [Some(0.0); 4]);

        let time: DateTime<Utc> = "2026-11-23T20:04:05Z".parse().unwrap();
        let numbers =
            Numbers { success: Some(time), verified: Some(time), duration_seconds: Some(1.5), size_bytes: Some(7) };
        write_textfile(&path, numbers).unwrap();
        write_textfile(&path, Numbers::default()).unwrap();
        let seconds = Some(1_795_464_245.0);
        assert_eq!(METRICS.map(|(name, _)| read(name)), [seconds, seconds, Some(1.5), Some(7.0)]);
    }
}
