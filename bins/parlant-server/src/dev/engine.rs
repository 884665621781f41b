//! Who answers in `dev`: whoever is configured, a real Parlant beside this process, or an echo within it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use parlant_engine::echo::Echo;
use parlant_engine::{BASE_URL, TOKEN};
use parlant_settings::Settings;

use super::parlant::Parlant;

/// How long the echo thinks: long enough to be seen.
const PAUSE: Duration = Duration::from_millis(500);

/// Answers as long as it is held.
pub(crate) enum Engine {
    Configured,
    Echo(Echo),
    Parlant(Parlant),
}

impl Engine {
    /// Starts what is asked for, and configures the server for it.
    pub(crate) async fn start(
        parlant: bool,
        python: Option<PathBuf>,
        data_dir: &Path,
        settings: &mut Settings,
    ) -> anyhow::Result<Self> {
        let (engine, url) = if parlant {
            let parlant = Parlant::start(python, data_dir).await?;
            let url = parlant.url().to_owned();
            (Self::Parlant(parlant), url)
        } else if settings.is_set(&BASE_URL) {
            return Ok(Self::Configured);
        } else {
            let echo = Echo::start().context("cannot start the echo")?;
            echo.pause(PAUSE);
            let url = echo.config().base_url;
            (Self::Echo(echo), url)
        };
        settings.set(&BASE_URL, url);
        // It is meant for another one.
        settings.set(&TOKEN, "");
        Ok(engine)
    }

    /// For people.
    pub(crate) fn description(&self) -> &'static str {
        match self {
            Self::Configured => "the Parlant at PARLANT_BASE_URL",
            Self::Echo(_) => {
                "an echo in this process, no model is asked; --parlant or PARLANT_BASE_URL brings a real Parlant"
            }
            Self::Parlant(_) => "a real Parlant with a stand-in for the model",
        }
    }

    /// Where it is, if it was started here.
    pub(crate) fn url(&self) -> Option<String> {
        match self {
            Self::Configured => None,
            Self::Echo(echo) => Some(echo.config().base_url),
            Self::Parlant(parlant) => Some(parlant.url().to_owned()),
        }
    }

    pub(crate) async fn stop(self) {
        if let Self::Parlant(parlant) = self {
            parlant.stop().await;
        }
    }
}
