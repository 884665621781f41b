//! Backups that are verified by restoring them.
