use std::path::PathBuf;

/// What kind of cluster is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory to keep the cluster in (as `cluster` inside it); made when it is not there.
    /// `None`: a temporary cluster, in a directory of its own below the system's temporary one,
    /// which is removed when the owner ends, however it ends.
    pub data_dir: Option<PathBuf>,
    /// Whether a commit survives a crash of the machine. A crash of PostgreSQL, or of its owner, it
    /// survives either way.
    pub durable: bool,
    /// Settings of `postgresql.conf`, stronger than the cluster's own. They can be seen in `ps`.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// A cluster that stays: durable, in `data_dir`.
    #[must_use]
    pub fn persistent(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: Some(data_dir.into()), durable: true, settings: Vec::new() }
    }

    /// A cluster that is gone with its owner, and fast instead of durable.
    #[must_use]
    pub fn temporary() -> Self {
        Self { data_dir: None, durable: false, settings: Vec::new() }
    }

    /// Adds a setting of `postgresql.conf`.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }
}
