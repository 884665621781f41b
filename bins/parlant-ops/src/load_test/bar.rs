use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parlant_ops_core::load_test::Progress;
use tokio::sync::watch;

const TEMPLATE: &str = "{spinner} {msg} [{wide_bar}] {elapsed}";
const STEPS: u64 = 1000;

/// Draws on standard error, if that is a terminal, until nobody tells anything any more.
pub(crate) async fn draw(mut progress: watch::Receiver<Progress>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()));
    while progress.changed().await.is_ok() {
        let Progress { scenarios, done, requests, errors } = progress.borrow_and_update().clone();
        bar.set_message(format!("{scenarios}: {requests} requests, {errors} errors"));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of one")]
        bar.set_position((done * STEPS as f64) as u64);
    }
    bar.finish_and_clear();
}
