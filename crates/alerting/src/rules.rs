//! The table of rules.

use std::time::Duration;

use crate::Severity::{Critical, Info, Warning};
use crate::expression::{Expression, Selector, Source};
use crate::rule::{Names, Rule};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Requests or look-ups a second below which a quotient says nothing: one failure out of two is half.
const TRAFFIC: f64 = 0.1;

/// As with requests, for the turns of conversations: 9 in a quarter of an hour.
const TURNS: f64 = 0.01;

/// Endpoints that nobody's work depends on: probes would thin out the errors of a quiet service, strangers' wrong
/// paths those of a busy one.
const NOT_WORK: &[&str] = &["/health", "/livez", "/readyz", "/metrics", "/api/v1/health/detailed", "unmatched"];
/// Besides those, answers that last as long as somebody listens.
const NOT_TIMED: &[&str] =
    &["/health", "/livez", "/readyz", "/metrics", "/api/v1/health/detailed", "unmatched", "*/events", "*/ws"];

/// The rates at which the budget of a 99.9 % objective burns, as error ratios: 14.4 times spends 2 % of a 30 days'
/// budget in an hour, 6 times 5 % in six hours. Windows and factors are those of The Site Reliability Workbook,
/// chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
const FAST_BURN: f64 = 0.0144;
const SLOW_BURN: f64 = 0.006;

/// A daily backup that is two hours late.
const BACKUP_AGE: f64 = 26.0 * 3600.0;
const BACKUP_SUCCESS: Selector = Selector::of(Source::NodeExporter, "parlant_backup_last_success_timestamp_seconds");
const BACKUP_VERIFIED: Selector = Selector::of(Source::NodeExporter, "parlant_backup_last_verified_timestamp_seconds");

const REQUESTS: Selector = Selector::new("parlant_http_requests_total");
const VALIDATIONS: Selector = Selector::new("parlant_auth_validations_total");
const LOOKUPS: Selector = Selector::new("parlant_auth_cache_hits_total");

/// Every rule of the bridge, the most general first.
#[must_use]
pub fn rules() -> Vec<Rule> {
    let rules = [service(), database(), authentication(), engine(), resources(), health(), backups()];
    let watchdog = Rule {
        name: "ParlantWatchdog",
        severity: Info,
        hold: Duration::ZERO,
        expression: Expression::Always,
        summary: "Alerts are on their way",
        description: "Always fires: whoever no longer receives it knows that alerts no longer arrive.",
        names: None,
    };
    rules.into_iter().flatten().chain([watchdog]).collect()
}

fn service() -> Vec<Rule> {
    let up = || Selector::of(Source::Prometheus, "up");
    let seconds = |part: &'static str| Selector::new(part).without("endpoint", NOT_TIMED).rate(5 * MINUTE);
    vec![
        Rule {
            name: "ParlantServiceDown",
            severity: Critical,
            hold: MINUTE,
            expression: up().last().equals(0.0).or(up().absent()),
            summary: "Parlant server is down",
            description: "Prometheus gets no numbers from the server, or has no target with this job.",
            names: None,
        },
        Rule {
            name: "ParlantHighErrorRate",
            severity: Warning,
            hold: 2 * MINUTE,
            expression: error_ratio(5 * MINUTE).above(0.1).and(request_rate(5 * MINUTE).above(TRAFFIC)),
            summary: "High error rate in Parlant server",
            description: "{percent} of the requests of the last 5 minutes failed (status 5xx).",
            names: None,
        },
        Rule {
            name: "ParlantErrorBudgetBurn",
            severity: Critical,
            hold: Duration::ZERO,
            expression: burn(FAST_BURN, HOUR, 5 * MINUTE),
            summary: "Parlant server burns its error budget fast",
            description: "{percent} of the requests of the last hour failed: at this rate the budget of a month (0.1 %) \
                is gone in two days.",
            names: None,
        },
        Rule {
            name: "ParlantErrorBudgetBurn",
            severity: Warning,
            hold: Duration::ZERO,
            expression: burn(SLOW_BURN, 6 * HOUR, 30 * MINUTE),
            summary: "Parlant server burns its error budget",
            description: "{percent} of the requests of the last 6 hours failed: at this rate the budget of a month \
                (0.1 %) is gone in five days.",
            names: None,
        },
        Rule {
            name: "ParlantHighLatency",
            severity: Warning,
            hold: 5 * MINUTE,
            expression: seconds("parlant_http_request_duration_seconds_bucket")
                .sum_by(&["le"])
                .quantile(0.95)
                .above(1.0)
                .and(seconds("parlant_http_request_duration_seconds_count").sum().above(TRAFFIC)),
            summary: "High response time in Parlant server",
            description: "One request in twenty of the last 5 minutes took {duration} or longer.",
            names: None,
        },
    ]
}

fn database() -> Vec<Rule> {
    // A server with two databases has two pools.
    let most = |connections: Selector| connections.last().max_by(&["instance", "pool"]);
    let active = Selector::new("parlant_database_connections").with("state", &["active"]);
    vec![
        Rule {
            name: "ParlantDatabaseDown",
            severity: Critical,
            hold: MINUTE,
            expression: Selector::new("parlant_database_up").last().equals(0.0),
            summary: "Parlant server cannot reach its database",
            description: "PostgreSQL does not answer the server; requests that need it get status 503.",
            names: None,
        },
        Rule {
            name: "ParlantDatabaseConnectionsHigh",
            severity: Warning,
            hold: 3 * MINUTE,
            expression: most(active).over(most(Selector::new("parlant_database_connections_max"))).above(0.8),
            summary: "High database connection usage",
            description: "{percent} of the connections that the server may open are in use.",
            names: None,
        },
        Rule {
            name: "ParlantMigrationsPending",
            severity: Warning,
            hold: 5 * MINUTE,
            expression: Selector::new("parlant_migrations_pending").last().max_by(&[]).above(0.0),
            summary: "The database schema is behind Parlant server",
            description: "{count} migrations that the running server needs are not applied.",
            names: None,
        },
    ]
}

fn authentication() -> Vec<Rule> {
    let share = |part: Selector, whole: Selector| {
        let all = || whole.clone().rate(5 * MINUTE).sum();
        part.rate(5 * MINUTE).sum().over(all()).above(0.5).and(all().above(TRAFFIC))
    };
    vec![
        Rule {
            name: "ParlantAuthUnavailable",
            severity: Critical,
            hold: 2 * MINUTE,
            // The window is no longer than `hold`, so that a single failure does not last until the alert fires.
            expression: VALIDATIONS.with("outcome", &["unknown"]).rate(2 * MINUTE).sum_by(&["source"]).above(0.0),
            summary: "Parlant server cannot tell who its users are",
            description: "The source of sessions ({source}) gives no answers; users get status 503.",
            names: None,
        },
        Rule {
            name: "ParlantAuthFailureRate",
            severity: Warning,
            hold: 5 * MINUTE,
            expression: share(VALIDATIONS.with("outcome", &["invalid"]), VALIDATIONS),
            summary: "High authentication failure rate",
            description: "{percent} of the credentials presented in the last 5 minutes were refused.",
            names: None,
        },
        Rule {
            name: "ParlantAuthCacheMissRate",
            severity: Info,
            hold: 5 * MINUTE,
            expression: share(LOOKUPS.with("result", &["miss"]), LOOKUPS),
            summary: "The session cache misses often",
            description: "{percent} of the look-ups of the last 5 minutes found nothing in the session cache.",
            names: None,
        },
    ]
}

fn engine() -> Vec<Rule> {
    // A small service has few turns: they are looked at for longer than requests are.
    let window = 15 * MINUTE;
    // Nobody waits for the answer in a session that has ended.
    let turns = || Selector::new("parlant_engine_turns_total").without("outcome", &["gone"]).rate(window).sum();
    let failed = Selector::new("parlant_engine_turns_total").without("outcome", &["answered", "gone"]);
    vec![
        Rule {
            name: "ParlantEngineBacklog",
            severity: Warning,
            hold: 2 * MINUTE,
            expression: Selector::new("parlant_engine_outbox_oldest_seconds").last().max_by(&[]).above(120.0),
            summary: "Messages wait for their answers",
            description: "The oldest message without an answer has waited for {duration}.",
            names: None,
        },
        Rule {
            name: "ParlantEngineTurnsFailing",
            severity: Warning,
            hold: 5 * MINUTE,
            expression: failed.rate(window).sum().over(turns()).above(0.2).and(turns().above(TURNS)),
            summary: "Messages get no answer",
            description: "{percent} of the turns of the last 15 minutes ended without an answer.",
            names: None,
        },
    ]
}

fn resources() -> Vec<Rule> {
    vec![
        Rule {
            name: "ParlantHighMemoryUsage",
            severity: Warning,
            hold: 5 * MINUTE,
            expression: Selector::new("process_resident_memory_bytes").last().above(2_147_483_648.0),
            summary: "High memory usage",
            description: "The server occupies {bytes} of memory.",
            names: None,
        },
        Rule {
            name: "ParlantDiskSpaceLow",
            severity: Warning,
            hold: 10 * MINUTE,
            expression: Selector::new("parlant_disk_used_ratio").last().above(0.85),
            summary: "A disk of Parlant server is filling up",
            description: "{mountpoint} is {percent} full.",
            names: None,
        },
        Rule {
            name: "ParlantTooManySessions",
            severity: Warning,
            hold: 5 * MINUTE,
            expression: Selector::new("parlant_active_sessions").last().max_by(&[]).above(1000.0),
            summary: "High number of active sessions",
            description: "{count} agent sessions are active.",
            names: None,
        },
    ]
}

/// After those that may know the cause: Prometheus sends alerts in this order, and what comes late explains nothing.
fn health() -> Vec<Rule> {
    let overall = |status| Selector::new("parlant_health_status").last().equals(status);
    let checks = || Names { selector: Selector::new("parlant_health_check_status"), below: 2.0, label: "check" };
    vec![
        Rule {
            name: "ParlantHealthCheckFailing",
            severity: Warning,
            hold: 5 * MINUTE,
            // The database has a rule of its own.
            expression: Selector::new("parlant_health_check_status").without("check", &["database"]).last().equals(0.0),
            summary: "A health check of Parlant server fails",
            description: "The health check {check} is unhealthy.",
            names: None,
        },
        Rule {
            name: "ParlantServiceHealth",
            severity: Critical,
            hold: MINUTE,
            expression: overall(0.0),
            summary: "Parlant server is unhealthy",
            description: "The server cannot do its work. Not healthy: {names}.",
            names: Some(checks()),
        },
        Rule {
            name: "ParlantServiceHealth",
            severity: Warning,
            // No shorter than that of any rule that may know the cause.
            hold: 10 * MINUTE,
            expression: overall(1.0),
            summary: "Parlant server is degraded",
            description: "The server works, but not everything that it relies on does. Not healthy: {names}.",
            names: Some(checks()),
        },
    ]
}

fn backups() -> Vec<Rule> {
    let too_old = || BACKUP_SUCCESS.last().age().above(BACKUP_AGE);
    vec![
        Rule {
            name: "ParlantBackupTooOld",
            severity: Warning,
            hold: 15 * MINUTE,
            expression: too_old().or(BACKUP_SUCCESS.absent()),
            summary: "There is no recent backup",
            description: "The last good backup is more than 26 hours old, or Prometheus knows of none by parlant-backup. \
                If something else makes your backups: parlant-ops alerts render --without ParlantBackupTooOld.",
            names: None,
        },
        Rule {
            name: "ParlantBackupUnverified",
            severity: Warning,
            hold: 15 * MINUTE,
            expression: BACKUP_VERIFIED.last().age().above(BACKUP_AGE).unless(too_old()),
            summary: "Backups are made but not verified",
            description: "The last trial restore that matched its backup was {duration} ago.",
            names: None,
        },
    ]
}

fn request_rate(window: Duration) -> Expression {
    REQUESTS.without("endpoint", NOT_WORK).rate(window).sum()
}

fn error_ratio(window: Duration) -> Expression {
    let failed = REQUESTS.without("endpoint", NOT_WORK).with("status", &["5*"]);
    failed.rate(window).sum().over(request_rate(window))
}

/// The short window ends the alert soon after the errors do.
fn burn(ratio: f64, long: Duration, short: Duration) -> Expression {
    error_ratio(long).above(ratio).and(error_ratio(short).above(ratio)).and(request_rate(long).above(TRAFFIC))
}
