//! What makes other alerts superfluous, so that one cause gives one message.

use crate::Severity;
use crate::expression::Matcher;
use crate::rule::SERVICE;

/// While an alert fires that is a cause, nobody needs to hear of those that it explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibition {
    /// Of a cause's labels, all of them hold; `alertname`, `severity` and `service` are labels, too.
    pub cause: Vec<Matcher>,
    /// Of what it explains, likewise.
    pub explained: Vec<Matcher>,
    /// Labels that both have with the same value, or neither has.
    pub equal: &'static [&'static str],
}

impl Inhibition {
    /// Whether the alert `cause` makes `other` superfluous; each by its name, its severity and the labels of its reading.
    #[must_use]
    pub fn explains(&self, cause: Alert<'_>, other: Alert<'_>) -> bool {
        let all =
            |matchers: &[Matcher], alert| matchers.iter().all(|matcher| matcher.admits(value(alert, matcher.label)));
        all(&self.cause, cause)
            && all(&self.explained, other)
            && self.equal.iter().all(|label| value(cause, label) == value(other, label))
    }
}

type Alert<'a> = (&'a str, Severity, &'a [(String, String)]);

fn value<'a>((name, severity, labels): Alert<'a>, label: &str) -> &'a str {
    match label {
        "alertname" => name,
        "severity" => severity.as_str(),
        "service" => SERVICE,
        _ => labels.iter().find(|(known, _)| known == label).map(|(_, value)| value.as_str()).unwrap_or_default(),
    }
}

const SAME_SERVER: &[&str] = &["instance"];

/// Every inhibition among the alerts of [`rules()`](crate::rules()); `deploy/alertmanager/alertmanager.yml` has the same.
#[must_use]
pub fn inhibitions() -> Vec<Inhibition> {
    let named = |patterns| Matcher { label: "alertname", negated: false, patterns };
    let other_than = |patterns| Matcher { label: "alertname", negated: true, patterns };
    let severity = |patterns| Matcher { label: "severity", negated: false, patterns };
    vec![
        // A server that is gone needs no further message about itself; the other servers' alerts are heard.
        Inhibition {
            cause: vec![named(&["ParlantServiceDown"])],
            explained: vec![
                Matcher { label: "service", negated: false, patterns: &[SERVICE] },
                other_than(&["ParlantServiceDown", "ParlantWatchdog", "ParlantBackup*"]),
            ],
            equal: SAME_SERVER,
        },
        // The database is one for all servers: without it requests fail, wait and are not admitted.
        Inhibition {
            cause: vec![named(&["ParlantDatabaseDown"])],
            explained: vec![named(&[
                "ParlantHighErrorRate",
                "ParlantErrorBudgetBurn",
                "ParlantHighLatency",
                "ParlantAuthUnavailable",
                "ParlantAuthFailureRate",
                "ParlantDatabaseConnectionsHigh",
                "ParlantEngineBacklog",
            ])],
            equal: &[],
        },
        // A server that reaches the database may be unhealthy for another reason.
        Inhibition {
            cause: vec![named(&["ParlantDatabaseDown"])],
            explained: vec![named(&["ParlantServiceHealth"])],
            equal: SAME_SERVER,
        },
        // What a server cannot work without is the reason why its requests fail.
        Inhibition {
            cause: vec![named(&["ParlantServiceHealth"]), severity(&["critical"])],
            explained: vec![named(&[
                "ParlantHighErrorRate",
                "ParlantErrorBudgetBurn",
                "ParlantHighLatency",
                "ParlantAuthUnavailable",
                "ParlantAuthFailureRate",
            ])],
            equal: &[],
        },
        // It names every check that is not healthy.
        Inhibition {
            cause: vec![named(&["ParlantServiceHealth"]), severity(&["critical"])],
            explained: vec![named(&["ParlantHealthCheckFailing"])],
            equal: SAME_SERVER,
        },
        // What makes a check fail or limp is known better by the alert about it.
        Inhibition {
            cause: vec![named(&["ParlantHealthCheckFailing", "ParlantDiskSpaceLow", "ParlantDatabaseConnectionsHigh"])],
            explained: vec![named(&["ParlantServiceHealth"]), severity(&["warning"])],
            equal: SAME_SERVER,
        },
        Inhibition {
            cause: vec![named(&[
                "ParlantHighLatency",
                "ParlantMigrationsPending",
                "ParlantAuthCacheMissRate",
                "ParlantEngineBacklog",
                "ParlantEngineTurnsFailing",
            ])],
            explained: vec![named(&["ParlantServiceHealth"]), severity(&["warning"])],
            equal: &[],
        },
        // Sim cannot be asked: its requests fail for that reason.
        Inhibition {
            cause: vec![named(&["ParlantAuthUnavailable"])],
            explained: vec![named(&["ParlantAuthFailureRate", "ParlantHighErrorRate", "ParlantErrorBudgetBurn"])],
            equal: &[],
        },
        // The faster burn says all that the slower one does.
        Inhibition {
            cause: vec![named(&["ParlantErrorBudgetBurn"]), severity(&["critical"])],
            explained: vec![named(&["ParlantErrorBudgetBurn"]), severity(&["warning"])],
            equal: &[],
        },
    ]
}
