use std::io;
use std::path::PathBuf;

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open LOG_FILE {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system has no thread for it.
    #[error("cannot start a thread for the log")]
    Thread(#[from] io::Error),
    /// The process has a subscriber already.
    #[error("the log is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}
