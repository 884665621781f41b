use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use parlant_settings::{ExposeSecret as _, Secret};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::report::{LoadReport, Report};
use super::run::{Run, Shot};
use super::{Error, Limits, Load, LoadOptions, Scenario, Target};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// A load test that is ready to run.
#[derive(Debug)]
pub struct Plan {
    /// Where requests are sent.
    pub target: Target,
    /// What is sent by those scenarios that send a token.
    pub token: Option<Secret>,
    /// What runs: each load by itself, its scenarios together.
    pub loads: Vec<(Load, Vec<Scenario>)>,
    /// Whether connections are used again.
    pub keep_alive: bool,
    /// Longest time for one request, from its sending to the end of its answer.
    pub timeout: Duration,
    /// What has to hold.
    pub limits: Limits,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The scenarios that run.
    pub scenarios: String,
    /// The share of their load that is done, 0 to 1.
    pub done: f64,
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
}

impl Plan {
    /// The loads of `scenarios`: one after another, except those with a weight, which run together, last. What
    /// `options` say comes first, then what a scenario says, then `fallback`.
    ///
    /// # Errors
    /// When a load makes no sense; names the scenario.
    pub fn loads(
        scenarios: Vec<Scenario>,
        options: LoadOptions,
        fallback: LoadOptions,
    ) -> Result<Vec<(Load, Vec<Scenario>)>, Error> {
        let (together, alone): (Vec<_>, Vec<_>) = scenarios.into_iter().partition(|scenario| scenario.weight.is_some());
        let groups =
            alone.into_iter().map(|scenario| vec![scenario]).chain(Some(together).filter(|group| !group.is_empty()));
        let load = |group: Vec<Scenario>| {
            let first = group.first().map(|scenario| (scenario.name.clone(), scenario.load)).unwrap_or_default();
            let load = LoadOptions::resolve(&[options, first.1, fallback]);
            load.map(|load| (load, group)).map_err(|reason| Error::Scenario { name: first.0, reason })
        };
        groups.map(load).collect()
    }

    /// Runs the loads one after another until the last has ended or `stop` says so; what was measured until then is
    /// reported.
    ///
    /// # Errors
    /// Before anything is sent: when a token is missing or nobody listens.
    pub async fn run(self, progress: &watch::Sender<Progress>, stop: &CancellationToken) -> Result<Report, Error> {
        let token = self.token.as_ref().map(bearer).transpose()?;
        let shots = |scenarios: Vec<Scenario>| {
            let shot = |scenario| shot(&self.target, scenario, token.as_ref());
            scenarios.into_iter().map(shot).collect::<Result<Vec<_>, _>>()
        };
        let loads = self.loads.into_iter().map(|(load, scenarios)| Ok((load, shots(scenarios)?)));
        let loads: Vec<_> = loads.collect::<Result<_, Error>>()?;
        let client = Client::connect(&self.target, self.keep_alive, self.timeout).await?;

        let (started_at, started) = (Utc::now(), Instant::now());
        let (mut reports, mut thresholds) = (Vec::new(), Vec::new());
        for (load, shots) in loads {
            if stop.is_cancelled() {
                break;
            }
            let run = Arc::new(Run::new(client.renewed(), shots, load));
            watched(&run, progress, stop).await;
            let (report, verdicts) = LoadReport::new(&run, &self.limits);
            reports.push(report);
            thresholds.extend(verdicts);
        }
        Ok(Report {
            target: self.target.to_string(),
            started_at,
            duration_seconds: started.elapsed().as_secs_f64(),
            interrupted: stop.is_cancelled(),
            met: thresholds.iter().all(|verdict| verdict.met),
            notes: reports.iter().flat_map(LoadReport::notes).collect(),
            thresholds,
            loads: reports,
        })
    }
}

/// Runs it, telling how far it is.
async fn watched(run: &Arc<Run>, progress: &watch::Sender<Progress>, stop: &CancellationToken) {
    let names: Vec<_> = run.shots.iter().map(|shot| shot.scenario.name.as_str()).collect();
    let scenarios = names.join(", ");
    let mut ticks = tokio::time::interval(TICK);
    let finish = run.finish(stop);
    tokio::pin!(finish);
    loop {
        tokio::select! {
            () = &mut finish => return,
            _ = ticks.tick() => {
                let (requests, errors) = run.recorder.progress();
                progress.send_replace(Progress { scenarios: scenarios.clone(), done: run.done(requests), requests, errors });
            }
        }
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, Error> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
    let mut value = value.map_err(|_| Error::Token("the token has characters that no header can carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn shot(target: &Target, scenario: Scenario, token: Option<&HeaderValue>) -> Result<Shot, Error> {
    let wrong = |what: &str| Error::Scenario { name: scenario.name.clone(), reason: what.to_owned() };
    let host = target.authority.parse().map_err(|_| Error::Address("has a host that no header can carry"))?;
    let (headers, body) = scenario.content();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = scenario.method.clone();
    *request.uri_mut() = target.path(&scenario.path).ok_or_else(|| wrong("its path cannot be asked for"))?;
    *request.headers_mut() = headers;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("parlant-load-test"));
    if scenario.token {
        let token = token.ok_or_else(|| Error::NoToken(scenario.name.clone()))?;
        headers.insert(AUTHORIZATION, token.clone());
    }
    Ok(Shot { scenario, request })
}
