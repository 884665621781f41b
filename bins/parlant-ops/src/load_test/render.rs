//! What people read; machines read the same report as JSON.

use std::fmt::{self, Write as _};

use parlant_ops_core::load_test::{LoadReport, Report, ScenarioReport, Summary, Verdict};

/// Fewer requests than this beyond a percentile make it a rough one.
const ENOUGH_BEYOND: f64 = 10.0;

/// The report as text.
pub(crate) fn report(report: &Report) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let when = report.started_at.format("%Y-%m-%d %H:%M:%S UTC");
    writeln!(text, "{}, {when}, {:.1} s", report.target, report.duration_seconds)?;
    if report.interrupted {
        writeln!(text, "INTERRUPTED: this is what was measured until then")?;
    }
    for one in &report.loads {
        load(&mut text, one)?;
    }
    if text.contains(" ~") {
        writeln!(text, "\n~ rough: fewer than {ENOUGH_BEYOND} requests are beyond it")?;
    }
    writeln!(text, "\nThresholds")?;
    for verdict in &report.thresholds {
        threshold(&mut text, verdict)?;
    }
    for (index, note) in report.notes.iter().enumerate() {
        writeln!(text, "{}  {note}", if index == 0 { "\nNotes\n" } else { "" })?;
    }
    Ok(text)
}

fn load(text: &mut String, load: &LoadReport) -> fmt::Result {
    match (load.rate_per_second, load.concurrency) {
        (Some(rate), _) => write!(text, "\nOpen model, {rate} requests a second")?,
        (None, clients) => write!(text, "\nClosed model, {} clients", clients.unwrap_or_default())?,
    }
    write!(text, ", {:.2} s, {} connections", load.window_seconds, load.connections)?;
    if load.warm_up_seconds > 0.0 {
        write!(text, ", after a warm-up of {} s", load.warm_up_seconds)?;
    }
    writeln!(text)?;
    load.scenarios.iter().try_for_each(|one| scenario(text, one))?;
    row(text, "generator late", &load.generator.lag_seconds)
}

fn scenario(text: &mut String, scenario: &ScenarioReport) -> fmt::Result {
    let ScenarioReport { name, method, path, good, errors, unsent, good_per_second, .. } = scenario;
    let size = scenario.bytes as f64 / 1e3;
    writeln!(text, "\n  {name}: {method} {path}")?;
    write!(text, "  good {good} ({good_per_second:.1}/s), errors {errors}, unsent {unsent}, bodies {size:.1} kB")?;
    if scenario.unfinished > 0 {
        let oldest = scenario.oldest_unfinished_seconds;
        write!(text, ", unfinished {} (waiting for {oldest:.2} s at most)", scenario.unfinished)?;
    }
    write!(text, "\n  {:<18}{:>9}", "", "count")?;
    for column in ["min", "mean", "median", "p90", "p95", "p99", "p99.9", "max"] {
        write!(text, "{column:>11}")?;
    }
    writeln!(text)?;
    row(text, "all", &scenario.latency_seconds)?;
    for status in &scenario.statuses {
        let title = format!("{}{}", status.status, if status.expected { "" } else { " unexpected" });
        row(text, &title, &status.latency_seconds)?;
    }
    for error in &scenario.error_kinds {
        row(text, error.kind.name(), &error.latency_seconds)?;
        writeln!(text, "    first after {:.2} s: {}", error.first_at_seconds, error.example)?;
    }
    Ok(())
}

fn row(text: &mut String, title: &str, times: &Summary) -> fmt::Result {
    let exact = |value: Option<f64>| value.map(time);
    let rough = |value: Option<f64>, quantile: f64| {
        let mark = if times.count as f64 * (1.0 - quantile) < ENOUGH_BEYOND { "~" } else { "" };
        value.map(|value| format!("{mark}{}", time(value)))
    };
    write!(text, "  {title:<18}{:>9}", times.count)?;
    for cell in [
        exact(times.min),
        exact(times.mean),
        exact(times.median),
        rough(times.p90, 0.9),
        rough(times.p95, 0.95),
        rough(times.p99, 0.99),
        rough(times.p99_9, 0.999),
        exact(times.max),
    ] {
        write!(text, "{:>11}", cell.unwrap_or_else(|| "–".to_owned()))?;
    }
    writeln!(text)
}

fn time(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0} µs", seconds * 1e6),
        ..1.0 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

fn threshold(text: &mut String, verdict: &Verdict) -> fmt::Result {
    let Verdict { scenario, limit, wanted, measured, met } = verdict;
    let state = if *met { "met    " } else { "NOT MET" };
    let measured = measured.map_or("beyond what was measured".to_owned(), |measured| format!("{measured:.6}"));
    writeln!(text, "  {state}  {scenario} {limit} {wanted}: {measured}")
}
