//! The engine that answers.

use parlant_engine::{Cause, Engine, Error, State};

use crate::doctor::Config;
use crate::doctor::kinds::{ENGINE_BUSY, ENGINE_ERROR, ENGINE_REFUSED, ENGINE_UNREACHABLE};
use crate::doctor::sheet::Sheet;

pub(crate) async fn look(config: &Config) -> Sheet {
    let mut sheet = Sheet::default();
    let Some(settings) = &config.engine else {
        sheet.skip("engine", "PARLANT_BASE_URL is not set: messages are stored and not answered");
        return sheet;
    };
    // What is wrong with the settings is told as such.
    let Ok(engine) = Engine::new(settings) else { return sheet };
    let mend = "curl -si --max-time 5 \"$PARLANT_BASE_URL/healthz\"";
    let finding = match engine.health().await {
        Ok(health) => match health.state {
            State::Healthy => return sheet,
            State::Degraded | State::Unhealthy => ENGINE_BUSY.warning("The engine calls itself overloaded"),
        },
        Err(error) => {
            let (kind, summary) = match &error {
                Error::Unreachable(Cause::Connection(_) | Cause::Timeout) => {
                    (ENGINE_UNREACHABLE, "The engine does not answer, and neither do the agents")
                }
                Error::Unreachable(Cause::Status(401 | 403)) => {
                    (ENGINE_REFUSED, "The engine does not accept the bridge's token")
                }
                _ => (ENGINE_ERROR, "The engine answers with errors, or what answers is none"),
            };
            kind.broken(summary).evidence(chain(&error))
        }
    };
    sheet.find(finding.mend(mend));
    sheet
}

/// The errors of the client hold no address and no text of Parlant's.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
