use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::numbers::{Figures, round};
use crate::{Outcome, Status};

/// What monitoring knows us as.
pub const SERVICE: &str = "parlant-server";

/// How the service is, in whole.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The whole in one word.
    pub status: Status,
    /// The same, by the name that older dashboards know.
    pub overall_status: Status,
    /// [`SERVICE`].
    pub service: &'static str,
    /// The version that runs.
    pub version: &'static str,
    /// When this was put together.
    pub timestamp: DateTime<Utc>,
    /// By the check's name.
    pub checks: BTreeMap<&'static str, CheckReport>,
    /// What the service cannot do without, by what it is called there.
    pub dependencies: Map<String, Value>,
    /// What it does.
    pub metrics: Figures,
}

/// How one thing is.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// In one word.
    pub status: Status,
    /// How long the look took, in milliseconds.
    pub response_time_ms: f64,
    /// Whether the service is of no use without it.
    pub critical: bool,
    /// When it was looked at; none before the first time.
    pub checked_at: Option<DateTime<Utc>>,
    /// What not everybody need know.
    #[serde(flatten)]
    pub findings: Option<Findings>,
}

/// What a look has found beside the status.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// Numbers for people.
    pub details: Value,
    /// What is wrong, in fixed words.
    pub error: Option<&'static str>,
}

impl Report {
    pub(crate) fn new(version: &'static str, checks: BTreeMap<&'static str, CheckReport>, metrics: Figures) -> Self {
        let status = overall(checks.values().map(|check| (check.status, check.critical)));
        Self {
            status,
            overall_status: status,
            service: SERVICE,
            version,
            timestamp: Utc::now().trunc_subsecs(6),
            dependencies: dependencies(&checks),
            checks,
            metrics,
        }
    }

    /// For strangers: without the `details` and `error` of the checks.
    #[must_use]
    pub fn without_findings(mut self) -> Self {
        self.checks.values_mut().for_each(|check| check.findings = None);
        self
    }
}

impl CheckReport {
    /// Before the first look: what nobody has seen working is not relied on.
    pub(crate) fn unknown(critical: bool) -> Self {
        let outcome = Outcome::unhealthy("has not been checked yet");
        Self { checked_at: None, ..Self::new(&outcome, critical, Duration::ZERO, DateTime::default()) }
    }

    pub(crate) fn new(outcome: &Outcome, critical: bool, took: Duration, checked_at: DateTime<Utc>) -> Self {
        Self {
            status: outcome.status,
            response_time_ms: round(took.as_secs_f64() * 1e3),
            critical,
            checked_at: Some(checked_at.trunc_subsecs(6)),
            findings: Some(Findings { details: outcome.details.clone(), error: outcome.error }),
        }
    }

    fn detail(&self, name: &str) -> Value {
        self.findings.as_ref().map_or(Value::Null, |findings| findings.details[name].clone())
    }
}

/// The whole, from each check's status and whether it is critical.
pub(crate) fn overall(checks: impl Iterator<Item = (Status, bool)>) -> Status {
    checks
        .map(|(status, critical)| if critical { status } else { status.max(Status::Degraded) })
        .min()
        .unwrap_or(Status::Healthy)
}

/// The same facts by what the service depends on: the name there, the check, and one of its numbers or another's.
fn dependencies(checks: &BTreeMap<&'static str, CheckReport>) -> Map<String, Value> {
    [
        ("database", "database", Some(("connection_pool", "database", "pool_stats"))),
        ("sim_auth", "sim_api", Some(("cache_hit_rate", "auth_cache", "hit_ratio"))),
        ("engine", "engine", None),
    ]
    .into_iter()
    .filter_map(|(name, check, number)| {
        let found = checks.get(check)?;
        let mut dependency = json!({ "status": found.status, "response_time_ms": found.response_time_ms });
        if let Some((number, check, detail)) = number {
            dependency[number] = checks.get(check).map_or(Value::Null, |check| check.detail(detail));
        }
        Some((name.to_owned(), dependency))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_unhealthy_by_a_critical_check_only() {
        use Status::{Degraded as D, Healthy as H, Unhealthy as U};
        for (critical, other, expected) in
            [(H, H, H), (H, D, D), (H, U, D), (D, H, D), (D, U, D), (U, H, U), (U, D, U), (U, U, U)]
        {
            let checks = [(critical, true), (other, false)];
            assert_eq!(overall(checks.into_iter()), expected, "{critical:?} {other:?}");
        }
        assert_eq!(overall(std::iter::empty()), H);
    }
}
