//! What the evaluator says about a service, step by step, as tests that promtool has to find true.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::DateTime;
use parlant_alerting::{Evaluator, Finding, RUNBOOKS, Reading, Rule, Source, rules};
use parlant_metrics::Snapshot;
use serde_json::{Value, json};

use crate::service::{END, Service};

/// How often rules are evaluated, in seconds.
const STEP: u32 = 30;

/// The file of tests for a service that is scraped every `interval` seconds, and how often each rule fired and ended.
pub(crate) fn tests(interval: u32) -> (String, Vec<(Rule, usize, usize)>) {
    let service = Service::watched_every(interval);
    let mut file = format!(
        "rule_files: [parlant_alerts.yml]\nevaluation_interval: {STEP}s\ntests:\n  - interval: {interval}s\n    input_series:\n"
    );
    for ((source, series), values) in values(&service) {
        writeln!(file, "      - {}", json!({ "series": with_job(source, &series), "values": values })).unwrap();
    }
    file += "    alert_rule_test:\n";
    let mut watched: Vec<_> = rules().into_iter().map(Watched::new).collect();
    let mut evaluator = Evaluator::new(&rules());
    let mut pages = service.pages.iter().enumerate();
    let mut next = pages.next();
    for time in (0..=END).step_by(STEP as usize) {
        while let Some((number, page)) = next.filter(|(number, _)| *number as u32 * interval <= time) {
            let sources = [Source::Server, Source::Prometheus, Source::NodeExporter];
            for source in sources.into_iter().filter(|source| Service::is_watched(*source, number)) {
                let lines = page.iter().filter(|((of, _), _)| *of == source);
                let text: String =
                    lines.map(|((_, series), value)| format!("{} {value}\n", with_job(source, series))).collect();
                evaluator.observe(moment(number as u32 * interval), source, &Snapshot::parse(&text));
            }
            next = pages.next();
        }
        let mut alerts = BTreeMap::<_, Vec<Value>>::new();
        for (watched, finding) in watched.iter_mut().zip(evaluator.findings(moment(time))) {
            alerts.entry(watched.rule.name).or_default().extend(watched.alerts(time, finding));
        }
        for (alertname, alerts) in alerts {
            let test = json!({ "eval_time": format!("{time}s"), "alertname": alertname, "exp_alerts": alerts });
            writeln!(file, "      - {test}").unwrap();
        }
    }
    (file, watched.into_iter().map(|watched| (watched.rule, watched.fired, watched.ended)).collect())
}

fn moment(seconds: u32) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(i64::from(seconds), 0).unwrap()
}

/// A series as Prometheus has it.
fn with_job(source: Source, series: &str) -> String {
    let job = if source == Source::NodeExporter { r#"job="node""# } else { r#"job="parlant-server""# };
    match series.split_once('{') {
        Some((metric, labels)) => format!("{metric}{{{job},{labels}"),
        None => format!("{series}{{{job}}}"),
    }
}

/// Each series with all its values, in promtool's notation. Prometheus marks the first scrape that lacks a series.
fn values(service: &Service) -> BTreeMap<(Source, String), String> {
    let mut values: BTreeMap<_, String> =
        service.pages.iter().flatten().map(|(series, _)| (series.clone(), String::new())).collect();
    for ((series, values), mut was_there) in values.iter_mut().map(|series| (series, false)) {
        for (step, page) in service.pages.iter().enumerate() {
            if !Service::is_watched(series.0, step) {
                *values += "_ ";
                continue;
            }
            match page.get(series) {
                Some(value) => write!(values, "{value} ").unwrap(),
                None => *values += if was_there { "stale " } else { "_ " },
            }
            was_there = page.contains_key(series);
        }
    }
    values
}

/// A rule, and since when it has had each of its values. What nobody can tell is nothing here, since Prometheus does not
/// know the difference.
struct Watched {
    rule: Rule,
    since: BTreeMap<Vec<(String, String)>, u32>,
    fired: usize,
    ended: usize,
    firing: usize,
}

impl Watched {
    fn new(rule: Rule) -> Self {
        Self { rule, since: BTreeMap::new(), fired: 0, ended: 0, firing: 0 }
    }

    fn alerts(&mut self, time: u32, finding: Finding) -> Vec<Value> {
        let readings = if let Finding::Values(readings) = finding { readings } else { Vec::new() };
        self.since = readings
            .iter()
            .map(|reading| (reading.labels.clone(), self.since.get(&reading.labels).copied().unwrap_or(time)))
            .collect();
        let hold = self.rule.hold.as_secs();
        let firing = readings.iter().filter(|reading| u64::from(time - self.since[&reading.labels]) >= hold);
        let alerts: Vec<_> = firing.map(|reading| self.alert(reading)).collect();
        self.fired += alerts.len().saturating_sub(self.firing);
        self.ended += self.firing.saturating_sub(alerts.len());
        self.firing = alerts.len();
        alerts
    }

    fn alert(&self, reading: &Reading) -> Value {
        let mut labels: BTreeMap<_, _> = reading.labels.iter().cloned().collect();
        labels.insert("severity".to_owned(), self.rule.severity.to_string());
        labels.insert("service".to_owned(), "parlant-server".to_owned());
        let annotations = json!({
            "summary": self.rule.summary,
            "description": self.rule.describe(reading),
            "runbook_url": RUNBOOKS.replace("{page}", &self.rule.page()),
        });
        json!({ "exp_labels": labels, "exp_annotations": annotations })
    }
}
