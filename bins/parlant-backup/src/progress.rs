use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parlant_backup_core::Reporter;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Before it, nobody waits for a sign of life.
const PATIENCE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(100);
const COUNTED: &str = "{spinner} {msg} {bytes} of about {total_bytes} [{wide_bar}] {binary_bytes_per_sec}";
const UNCOUNTED: &str = "{spinner} {msg} ({elapsed})";

/// Draws progress on standard error while it exists, if that is a terminal.
pub(crate) struct Bar(Option<(ProgressBar, JoinHandle<()>)>);

impl Bar {
    pub(crate) fn start(reporter: &Reporter) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let (drawn, receiver) = (bar.clone(), reporter.subscribe());
        let task = tokio::spawn(async move {
            sleep(PATIENCE).await;
            let mut step = "";
            loop {
                let now = receiver.borrow().clone();
                if now.step != step {
                    step = now.step;
                    drawn.reset();
                    let template = if now.expected_bytes > 0 { COUNTED } else { UNCOUNTED };
                    drawn.set_style(
                        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()),
                    );
                }
                // A guess may be too small.
                drawn.set_length(now.expected_bytes.max(now.done_bytes));
                drawn.set_position(now.done_bytes);
                drawn.set_message(now.table.map_or(step.to_owned(), |table| format!("{step} {table}")));
                drawn.tick();
                sleep(INTERVAL).await;
            }
        });
        Self(Some((bar, task)))
    }
}

impl Bar {
    /// Ends the drawing.
    pub(crate) fn clear(&self) {
        if let Some((bar, task)) = &self.0 {
            task.abort();
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
