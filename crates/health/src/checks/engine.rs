use std::time::Duration;

use parlant_engine::{Cause, Engine as Client, Error, Health, State};
use serde_json::json;
use tokio::time::Instant;

use crate::check::Running;
use crate::{Check, Outcome};

/// Parlant does everything on one thread: what comes later than this has waited for something.
const SLOW: Duration = Duration::from_secs(2);

/// How the versions begin that the client is tested with, that of the engine within the process among them.
const TESTED: [&str; 2] = ["3.3.", "echo"];

/// Whether the engine answers that answers for the agents.
pub struct Engine(Client);

impl Engine {
    /// A check of this engine. Give it a client of its own: it is not to wait behind the requests that it judges.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    async fn look(&self) -> Outcome {
        let begun = Instant::now();
        let health = self.0.health().await;
        judge(health, begun.elapsed())
    }
}

impl Check for Engine {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn run(&self) -> Running<'_> {
        Box::pin(self.look())
    }
}

fn judge(health: Result<Health, Error>, took: Duration) -> Outcome {
    let health = match health {
        Ok(health) => health,
        Err(error @ Error::Unreachable(Cause::Connection(_) | Cause::Timeout)) => {
            return Outcome::unhealthy("the engine cannot be reached").because(error);
        }
        Err(error) => return Outcome::degraded("the engine answers with errors").because(error),
    };
    // Everybody may see it: a version, not whatever a server says in its place.
    let is_version = |text: &String| text.len() <= 20 && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.');
    let tested = |text: &String| TESTED.iter().any(|known| text.starts_with(known));
    let outcome = match health.state {
        State::Unhealthy => Outcome::degraded("the engine is overloaded"),
        State::Degraded => Outcome::degraded("the engine is busy"),
        State::Healthy if took > SLOW => Outcome::degraded("the engine answers slowly"),
        State::Healthy if health.version.as_ref().is_some_and(|version| !tested(version)) => {
            Outcome::degraded("the engine is of a version that this server is not tested with")
        }
        State::Healthy => Outcome::healthy(),
    };
    outcome.with_details(json!({ "version": health.version.filter(is_version) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn what_answers_is_at_worst_degraded() {
        use State::{Degraded, Healthy, Unhealthy};
        for (state, version, millis, expected) in [
            (Healthy, Some("3.3.2"), 10, Status::Healthy),
            (Healthy, Some("3.3.9.post1"), 2000, Status::Healthy),
            (Healthy, None, 10, Status::Healthy),
            (Healthy, Some("3.3.2"), 2001, Status::Degraded),
            (Healthy, Some("3.4.0"), 10, Status::Degraded),
            (Healthy, Some("echo"), 10, Status::Healthy),
            (Healthy, Some("<script>"), 10, Status::Degraded),
            (Degraded, Some("3.3.2"), 10, Status::Degraded),
            (Unhealthy, None, 10, Status::Degraded),
        ] {
            let health = Health { state, version: version.map(str::to_owned) };
            let outcome = judge(Ok(health), Duration::from_millis(millis));
            assert_eq!(outcome.status, expected, "{state:?} {version:?} {millis}");
            assert!(!outcome.details.to_string().contains('<'));
        }
        let failing = judge(Err(Error::Unreachable(Cause::Status(503))), Duration::ZERO);
        assert_eq!(failing.status, Status::Degraded);
        let silent = judge(Err(Error::Unreachable(Cause::Timeout)), Duration::ZERO);
        assert_eq!(silent.status, Status::Unhealthy);
    }
}
