use tokio::sync::watch;

/// What a run is doing, for those who watch it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// In words: "Dumping", "Verifying".
    pub step: &'static str,
    /// The table that is being dumped or restored, quoted as in SQL.
    pub table: Option<String>,
    /// Bytes of the uncompressed dump so far.
    pub done_bytes: u64,
    /// What they may become; 0 when nobody knows.
    pub expected_bytes: u64,
}

/// Where progress is told; a receiver of it may draw it.
#[derive(Debug, Clone, Default)]
pub struct Reporter(watch::Sender<Progress>);

impl Reporter {
    /// Somebody who hears of every step, though not of every byte.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    /// Begins a step.
    pub fn step(&self, step: &'static str, expected_bytes: u64) {
        self.0.send_replace(Progress { step, expected_bytes, ..Progress::default() });
    }

    /// Names the table.
    pub fn table(&self, table: &str) {
        self.0.send_modify(|progress| progress.table = Some(table.to_owned()));
    }

    /// Counts bytes.
    pub fn advance(&self, bytes: u64) {
        self.0.send_modify(|progress| progress.done_bytes += bytes);
    }
}
