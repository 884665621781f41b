use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use parlant_alerting::{Alert, Config, STATE_DIR, State};

use crate::Exit;
use crate::cli::ListArguments;

/// Shows the state file, which the server writes whenever something changes.
pub(crate) fn list(config: &Config, arguments: &ListArguments) -> anyhow::Result<Exit> {
    let dir = arguments.state_dir.as_ref().or(config.state_dir.as_ref());
    let dir = dir.with_context(|| {
        format!(
            "{} is not set, so the server keeps its alerts in memory; its /metrics has parlant_alerts_firing",
            STATE_DIR.name
        )
    })?;
    let state = State::read(dir).with_context(|| dir.display().to_string())?;
    let state = state.with_context(|| format!("no server has written its alerts to {} yet", dir.display()))?;
    let text = if arguments.json { serde_json::to_string(&state)? + "\n" } else { readable(&state) };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Good)
}

fn readable(state: &State) -> String {
    let mut text = format!("Since {}:\n", time(state.at));
    let mut quiet = true;
    for (key, alert) in &state.alerts {
        let Some(standing) = standing(alert) else { continue };
        quiet = false;
        let _ = writeln!(text, "{key}: {standing}\n    {}", alert.message);
    }
    if quiet {
        text.push_str("No alert fires.\n");
    }
    for (notifier, queue) in &state.queues {
        if let Some(first) = queue.front() {
            let _ = writeln!(text, "{notifier}: {} to send, the oldest of {}", queue.len(), time(first.at));
        }
    }
    if !state.unknown.is_empty() {
        let rules: Vec<_> = state.unknown.iter().map(String::as_str).collect();
        let _ = writeln!(text, "The server cannot judge: {}", rules.join(", "));
    }
    text
}

/// None: it is over, and only remembered.
fn standing(alert: &Alert) -> Option<String> {
    let told = alert.told.as_ref();
    let mut standing = match (alert.firing, alert.since) {
        (Some(firing), _) => format!("firing since {}", time(firing)),
        (None, Some(since)) => format!("pending since {}", time(since)),
        (None, None) => told.map(|told| format!("over, fired at {}", time(told.since)))?,
    };
    if let Some(told) = told {
        let _ = write!(standing, ", told {}", time(told.last));
    } else if alert.firing.is_some() {
        standing.push_str(", not told: another alert or another server says it");
    }
    for (holds, words) in [(alert.unknown, ", now unknown"), (alert.flapping, ", flapping")] {
        standing.push_str(if holds { words } else { "" });
    }
    Some(standing)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
