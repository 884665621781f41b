use chrono::{DateTime, Utc};
use serde::Serialize;

use super::failure::Kind;
use super::latencies::Summary;
use super::limits::{Limits, Verdict};
use super::record::Tally;
use super::run::Run;
use super::{Load, Model};

/// A generator whose 99th percentile of being late is above this, in seconds, is overloaded.
const OVERLOADED: f64 = 0.01;

/// What a load test measured. As JSON, the names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Where requests were sent.
    pub target: String,
    /// When the first load began.
    pub started_at: DateTime<Utc>,
    /// All loads together, with their warm-ups.
    pub duration_seconds: f64,
    /// Whether somebody ended it early.
    pub interrupted: bool,
    /// Whether every limit was met.
    pub met: bool,
    /// One for each limit and scenario.
    pub thresholds: Vec<Verdict>,
    /// The loads, in the order in which they ran.
    pub loads: Vec<LoadReport>,
    /// What a reader of these numbers should know.
    pub notes: Vec<String>,
}

/// One load: a scenario, or several that ran together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// `open` or `closed`.
    pub model: &'static str,
    /// Of the open model: requests that were due in a second.
    pub rate_per_second: Option<f64>,
    /// Of the open model: how many could be in flight at once.
    pub max_in_flight: Option<usize>,
    /// Of the closed model: clients.
    pub concurrency: Option<usize>,
    /// Before anything was counted.
    pub warm_up_seconds: f64,
    /// In which requests were sent and counted; rates are of this time.
    pub window_seconds: f64,
    /// That were opened, in the warm-up as well.
    pub connections: u64,
    /// How well the load test itself did.
    pub generator: Generator,
    /// Of the closed model: when it sent nothing.
    pub silence: Option<Silence>,
    /// What became of the requests.
    pub scenarios: Vec<ScenarioReport>,
}

/// How well the load test itself did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generator {
    /// How late it was: each request of the open model, or a look at the clock a hundred times a second.
    pub lag_seconds: Summary,
    /// Whether it was so late that the numbers say more about it than about the server.
    pub overloaded: bool,
    /// Requests that were due, but as many as allowed were in flight.
    pub unsent_over_limit: u64,
    /// Requests that were due, but the generator did not come to them in time.
    pub unsent_too_late: u64,
}

/// A time in which a closed loop sends nothing is one that it cannot judge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Silence {
    /// Share of the window that was pauses of a tenth of a second and more.
    pub share: f64,
    /// The longest.
    pub longest_seconds: f64,
}

/// What became of one scenario's requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScenarioReport {
    /// Its name.
    pub name: String,
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// That ended, well or not.
    pub requests: u64,
    /// That were answered as expected.
    pub good: u64,
    /// The others that ended.
    pub errors: u64,
    /// Were due and never sent.
    pub unsent: u64,
    /// Errors and unsent ones among all that were due.
    pub error_rate: Option<f64>,
    /// Good answers a second.
    pub good_per_second: f64,
    /// Of bodies.
    pub bytes: u64,
    /// Of every request that ended, errors too; in the open model from when it was due.
    pub latency_seconds: Summary,
    /// The same by status, of whole answers.
    pub statuses: Vec<StatusReport>,
    /// The same by kind of error.
    pub error_kinds: Vec<ErrorReport>,
    /// In flight when it was ended early.
    pub unfinished: u64,
    /// How long the oldest of those had waited.
    pub oldest_unfinished_seconds: f64,
}

/// Whole answers with one status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// Of HTTP.
    pub status: u16,
    /// Whether the scenario expects it.
    pub expected: bool,
    /// Of these answers.
    pub latency_seconds: Summary,
}

/// Errors of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorReport {
    /// Which.
    pub kind: Kind,
    /// The first one, in words.
    pub example: String,
    /// When that was, since counting began.
    pub first_at_seconds: f64,
    /// Of these errors.
    pub latency_seconds: Summary,
}

impl LoadReport {
    /// What `run` measured, judged by `limits`.
    pub(super) fn new(run: &Run, limits: &Limits) -> (Self, Vec<Verdict>) {
        let recorder = &run.recorder;
        let window = recorder.window().as_secs_f64();
        let mut verdicts = Vec::new();
        let mut scenarios = Vec::new();
        let (mut over_limit, mut too_late) = (0, 0);
        for (index, shot) in run.shots.iter().enumerate() {
            let (tally, scenario) = (recorder.tally(index), &shot.scenario);
            over_limit += tally.over_limit;
            too_late += tally.too_late;
            let rate = if window > 0.0 { tally.good_in_time as f64 / window } else { 0.0 };
            verdicts.extend(limits.judge(&scenario.name, &tally, rate));
            scenarios.push(ScenarioReport {
                name: scenario.name.clone(),
                method: scenario.method.to_string(),
                path: scenario.path.to_string(),
                requests: tally.latency.count(),
                good: tally.good,
                errors: tally.failed(),
                unsent: tally.unsent(),
                error_rate: tally.error_rate(),
                good_per_second: rate,
                bytes: tally.bytes,
                latency_seconds: tally.latency.summary(),
                statuses: statuses(&tally, |status| scenario.expects(status)),
                error_kinds: error_kinds(&tally),
                unfinished: tally.unfinished,
                oldest_unfinished_seconds: tally.oldest_unfinished.as_secs_f64(),
            });
        }
        let Load { model, warm_up, .. } = run.load;
        let (rate_per_second, max_in_flight, concurrency) = match model {
            Model::Open { rate, max_in_flight } => (Some(rate), Some(max_in_flight), None),
            Model::Closed { concurrency } => (None, None, Some(concurrency)),
        };
        let lag = recorder.lag();
        let silence = concurrency.map(|_| {
            let (share, longest) = recorder.silence();
            Silence { share, longest_seconds: longest.as_secs_f64() }
        });
        let report = Self {
            model: if concurrency.is_some() { "closed" } else { "open" },
            rate_per_second,
            max_in_flight,
            concurrency,
            warm_up_seconds: warm_up.as_secs_f64(),
            window_seconds: window,
            connections: run.client.opened(),
            generator: Generator {
                overloaded: too_late > 0 || lag.quantile(0.99, 0).is_some_and(|lag| lag > OVERLOADED),
                lag_seconds: lag.summary(),
                unsent_over_limit: over_limit,
                unsent_too_late: too_late,
            },
            silence,
            scenarios,
        };
        (report, verdicts)
    }

    /// What a reader should know of these numbers.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let names: Vec<_> = self.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        let names = names.join(", ");
        if let (Some(silence), Some(clients)) = (&self.silence, self.concurrency) {
            notes.push(format!(
                "{names}: closed model. While all {clients} clients wait, nobody asks, so what a stall keeps from being sent is not in \
                the latencies. Nothing was sent in {:.1} % of the time, for {:.2} s at most. --rate shows what users would see.",
                silence.share * 100.0,
                silence.longest_seconds,
            ));
        }
        let Generator { lag_seconds, overloaded, unsent_over_limit, .. } = &self.generator;
        if *overloaded {
            let late = lag_seconds.p99.or(lag_seconds.max).unwrap_or_default();
            notes.push(format!(
                "{names}: the generator was overloaded, late by {:.1} ms at its 99th percentile: do not believe these numbers. \
                Lower the rate, or run it where the processor has time for it.",
                late * 1e3,
            ));
        }
        if *unsent_over_limit > 0 {
            let bound = self.max_in_flight.unwrap_or_default();
            notes.push(format!(
                "{names}: {unsent_over_limit} requests were due while {bound} were in flight, and not sent; they are in no percentile."
            ));
        }
        let answered = |wanted| {
            let has = |scenario: &ScenarioReport| {
                scenario.statuses.iter().any(|status| status.status == wanted && !status.expected)
            };
            self.scenarios.iter().any(has)
        };
        if answered(401) {
            notes.push(format!("{names}: the token was not accepted, or is missing where one is needed (401)."));
        }
        if answered(429) {
            notes.push(format!(
                "{names}: the server limits the requests of one credential (429); RATE_LIMIT_PER_MINUTE=0 there turns that off."
            ));
        }
        notes
    }
}

fn statuses(tally: &Tally, expects: impl Fn(u16) -> bool) -> Vec<StatusReport> {
    let report = |(&status, latency): (&u16, &super::latencies::Latencies)| StatusReport {
        status,
        expected: expects(status),
        latency_seconds: latency.summary(),
    };
    tally.statuses.iter().map(report).collect()
}

fn error_kinds(tally: &Tally) -> Vec<ErrorReport> {
    let report = |(&kind, failed): (&Kind, &super::record::Failed)| ErrorReport {
        kind,
        example: failed.example.clone(),
        first_at_seconds: failed.first_at.as_secs_f64(),
        latency_seconds: failed.latency.summary(),
    };
    tally.failures.iter().map(report).collect()
}
