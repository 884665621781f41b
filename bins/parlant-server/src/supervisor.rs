//! systemd, or whatever else speaks its protocols: what it hands over and what it is told. Without one, nothing happens.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::{interval, timeout};

use crate::workers::Workers;

/// How much longer than expected anything may take before it counts as hanging.
const MARGIN: Duration = Duration::from_secs(15);

/// The socket that was handed over (`LISTEN_FDS`). Call it while the process has one thread, since it takes the variables
/// out of the environment.
pub(crate) fn inherited_socket() -> anyhow::Result<Option<TcpListener>> {
    let mut handed_over = ListenFd::from_env();
    ensure!(handed_over.len() <= 1, "{} sockets were handed over, and one is needed", handed_over.len());
    handed_over.take_tcp_listener(0).context("the socket that was handed over cannot be used")
}

/// Who started the process and may restart it. Clones share what it was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervisor {
    is_serving: Arc<AtomicBool>,
}

impl Supervisor {
    /// The start goes on for as long as that.
    pub(crate) fn waiting_for_database(longest: Duration) {
        tell(&[NotifyState::Status("Connecting to the database"), extend(longest)]);
    }

    /// The start is over.
    pub(crate) fn serving(&self, address: SocketAddr) {
        self.is_serving.store(true, Ordering::Release);
        tell(&[NotifyState::Ready, NotifyState::Status(&format!("Serving on {address}"))]);
    }

    /// Surrounds a reload. One during the start or the stop is not told: its end would say that the start was over.
    pub(crate) fn reloading(&self, reload: impl FnOnce()) {
        let is_told = self.is_serving.load(Ordering::Acquire);
        if is_told && let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
        reload();
        if is_told {
            tell(&[NotifyState::Ready]);
        }
    }

    /// The stop has begun; it may take the grace, whatever `TimeoutStopSec=` says.
    pub(crate) fn stopping(&self, grace: Duration) {
        self.is_serving.store(false, Ordering::Release);
        tell(&[NotifyState::Stopping, NotifyState::Status("Answering the last requests"), extend(grace)]);
    }

    /// Shows signs of life, as often as the supervisor wants: while this runs, and each thread that serves requests does.
    pub(crate) async fn watch(self, workers: Workers) {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        let mut ticks = interval(limit / 2);
        loop {
            ticks.tick().await;
            match timeout(limit / 2, workers.answer()).await {
                Ok(()) => tell(&[NotifyState::Watchdog]),
                Err(_) => tracing::error!("A thread that serves requests hangs"),
            }
        }
    }
}

fn extend(longest: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from((longest + MARGIN).as_micros()).unwrap_or(u32::MAX))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = &error as &dyn std::error::Error, "The supervisor cannot be told how the server is");
    }
}
