//! What the server counts.

use parlant_admission::Sessions;
use parlant_metrics::Snapshot;

use crate::doctor::Config;
use crate::doctor::kinds::{
    ALERTS_UNDELIVERED, ENGINE_BACKLOG, LOG_LINES_DROPPED, SERVER_FILE_DESCRIPTORS, SERVER_RATE_LIMITED,
    SERVER_SETTINGS_DIFFER,
};
use crate::doctor::sheet::Sheet;

/// More than that part of what may be open is open.
const MANY: f64 = 0.8;
/// Seconds that the oldest message waits for its answer, as the alert has it.
const BACKLOG: f64 = 120.0;
/// More than that part of the requests was refused for being too many.
const LIMITED: f64 = 0.1;
/// Fewer requests than that say nothing.
const ENOUGH: f64 = 100.0;

pub(super) fn judge(config: &Config, numbers: &Snapshot, sheet: &mut Sheet) {
    let sum = |name: &str, labels: &[(&str, &str)]| numbers.sum(name, labels).unwrap_or_default();
    settings(config, numbers, sheet);
    let (open, most) = (sum("process_open_fds", &[]), sum("process_max_fds", &[]));
    if open > MANY * most && most > 0.0 {
        let finding = SERVER_FILE_DESCRIPTORS.warning("The server has nearly as many files open as it may");
        let finding = finding.evidence(format!("{open} of {most} files and sockets"));
        sheet.find(finding.mend("systemctl edit parlant-server   # LimitNOFILE=65536; then parlant-ops restart"));
    }
    let dropped = sum("parlant_log_lines_dropped_total", &[]);
    if dropped > 0.0 {
        let finding = LOG_LINES_DROPPED.warning("Lines of the log were lost");
        let finding = finding.evidence(format!("{dropped} lines since the server began"));
        sheet.find(finding.mend("df -h \"$(dirname \"$LOG_FILE\")\"; iostat -x 1 3"));
    }
    let oldest = sum("parlant_engine_outbox_oldest_seconds", &[]);
    if oldest > BACKLOG {
        let waiting = sum("parlant_engine_outbox_pending", &[]);
        let finding = ENGINE_BACKLOG.warning("Messages wait long for their answers");
        let finding = finding.evidence(format!("{waiting} wait, the oldest for {oldest:.0} s"));
        sheet.find(finding.mend("parlant-ops doctor --only engine; journalctl -u parlant-server -n 50"));
    }
    let requests = "parlant_http_requests_total";
    let (limited, all) = (sum(requests, &[("status", "429")]), sum(requests, &[]));
    if limited > LIMITED * all && all > ENOUGH {
        let finding = SERVER_RATE_LIMITED.warning("Many requests are refused for being too many");
        let finding = finding.evidence(format!("{limited} of {all} requests since the server began"));
        sheet.find(finding.mend("parlant-server check-config | grep -E '^(RATE_LIMIT|TRUSTED_PROXIES)'"));
    }
    let outcome = |outcome| sum("parlant_alert_notifications_total", &[("outcome", outcome)]);
    let (sent, refused, dropped) = (outcome("sent"), outcome("refused"), outcome("dropped"));
    let waiting = sum("parlant_alert_notifications_waiting", &[]);
    if refused + dropped > 0.0 || (waiting > 0.0 && outcome("failed") > 0.0) {
        let finding = ALERTS_UNDELIVERED.warning("Alerts did not reach the people whom they are for");
        let told = format!("{sent} sent, {refused} refused, {dropped} dropped, {waiting} wait, since the server began");
        sheet.find(finding.evidence(told).mend("parlant-ops alerts test"));
    }
}

/// Whether the server runs with what stands in the environment now.
fn settings(config: &Config, numbers: &Snapshot, sheet: &mut Sheet) {
    let mut evidence = Vec::new();
    let pool = (config.database.pool_size + config.database.max_overflow) as f64;
    // The pool of Sim's tables, where it is another, has a label.
    let runs = numbers.samples("parlant_database_connections_max").find(|sample| sample.labels.is_empty());
    if let Some(runs) = runs.map(|sample| sample.value).filter(|runs| (runs - pool).abs() > 0.5) {
        evidence.push(format!("its pool has {runs} connections, DATABASE_POOL_SIZE and _MAX_OVERFLOW say {pool}"));
    }
    let source = if matches!(config.auth.sessions, Sessions::Http(_)) { "http" } else { "database" };
    let sources: Vec<_> =
        numbers.samples("parlant_auth_validations_total").filter_map(|sample| sample.label("source")).collect();
    if !sources.is_empty() && !sources.contains(&source) {
        evidence.push(format!("it does not look sessions up as AUTH_SOURCE={source} says"));
    }
    if !evidence.is_empty() {
        let finding = SERVER_SETTINGS_DIFFER.warning("The server runs with other settings than these");
        sheet.find(finding.evidences(evidence).mend("parlant-ops restart"));
    }
}
