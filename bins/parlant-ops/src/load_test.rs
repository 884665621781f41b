//! `parlant-ops load-test`.

mod arguments;
mod bar;
mod render;

use std::io::{self, Write as _};

use anyhow::ensure;
use parlant_ops_core::load_test::{Dev, LoadOptions, Plan, Scenario, ScenarioFile, Target, TokenSources};
use parlant_settings::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use arguments::LoadTestArguments;

use crate::Exit;

const DEFAULT_URL: &str = "http://127.0.0.1:8001";

/// Runs the load test and prints its report.
pub(crate) fn run(arguments: &LoadTestArguments) -> anyhow::Result<Exit> {
    let mut settings = Settings::from_process();
    let dev = arguments.dev.as_deref().map(Dev::read).transpose()?;
    let dev_url = dev.as_ref().map(|dev| dev.base_url.clone());
    let url = arguments.url.clone().or(dev_url).unwrap_or_else(|| DEFAULT_URL.to_owned());
    let token = TokenSources { file: arguments.token_file.clone(), dev }.find(&mut settings)?;
    settings.finish()?;

    let (scenarios, fallback) = scenarios(arguments)?;
    let loads = Plan::loads(scenarios, arguments.load.options(), fallback)?;
    // Every request in flight is a socket. Where it may not be raised, the report will say what was missing.
    let sockets = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: sockets.maximum, ..sockets });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(async {
        let stop = stop()?;
        let plan = Plan {
            target: Target::resolve(&url, arguments.allow_remote).await?,
            token,
            loads,
            keep_alive: !arguments.load.no_keep_alive,
            timeout: arguments.load.timeout,
            limits: arguments.limits.limits(),
        };
        let progress = watch::Sender::default();
        let bar = tokio::spawn(bar::draw(progress.subscribe()));
        let report = plan.run(&progress, &stop).await;
        drop(progress);
        let _ = bar.await;
        anyhow::Ok(report?)
    })?;
    let text = if arguments.json { serde_json::to_string(&report)? } else { render::report(&report)? };
    writeln!(io::stdout().lock(), "{}", text.trim_end())?;
    Ok(match (report.met, report.interrupted) {
        (false, _) => Exit::NotMet,
        (true, true) => Exit::Failed,
        (true, false) => Exit::Good,
    })
}

/// Those that were chosen, and the load of those that say nothing.
fn scenarios(arguments: &LoadTestArguments) -> anyhow::Result<(Vec<Scenario>, LoadOptions)> {
    let (mut scenarios, fallback) = match &arguments.scenarios {
        None => (Scenario::built_in(), LoadOptions::default()),
        Some(path) => {
            let file = ScenarioFile::read(path)?;
            (file.scenarios, file.load)
        }
    };
    for name in &arguments.scenario {
        let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        ensure!(names.contains(&name.as_str()), "there is no scenario {name:?}, but {}", names.join(", "));
    }
    if !arguments.scenario.is_empty() {
        scenarios.retain(|scenario| arguments.scenario.contains(&scenario.name));
    }
    Ok((scenarios, fallback))
}

/// Is cancelled when somebody wants the program to end.
fn stop() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signal, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            signal.recv().await;
            stop.cancel();
        });
    }
    Ok(stop)
}
