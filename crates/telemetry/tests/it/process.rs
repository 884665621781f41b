use std::fmt;
use std::fs;

use parlant_settings::Settings;
use parlant_telemetry::{Config, init};
use serde_json::Value;

/// A value whose formatting logs as well.
struct Talkative;

impl fmt::Display for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::info!(target: "parlant", "Inside");
        f.write_str("said")
    }
}

fn config(pairs: &[(&str, &str)]) -> Config {
    let mut settings = Settings::from_pairs(pairs.iter().copied());
    let config = Config::from_settings(&mut settings).with_file(&mut settings);
    settings.finish().unwrap();
    config
}

/// The log is set up once in a process, so one test has all of it.
#[test]
fn the_log_of_a_process_is_complete_through_changes_of_level_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let file = ("LOG_FILE", path.to_str().unwrap());
    let guard = init(&config(&[("LOG_LEVEL", "INFO"), ("LOG_FORMAT", "text"), file])).unwrap();
    assert!(init(&config(&[])).is_err(), "a process has one log");
    let log = guard.handle();

    let span = tracing::error_span!(target: "parlant", "request", request_id = "r-1", said = tracing::field::Empty);
    span.in_scope(|| {
        span.record("said", tracing::field::display(Talkative));
        tracing::info!(target: "parlant_api", "First");
        tracing::debug!(target: "parlant_api", "Hidden");
        log::warn!(target: "library", "{}", "Warned");
        log::info!(target: "library", "Hidden");
        log::debug!(target: "tokio_postgres::query", "Hidden");

        fs::rename(&path, &old).unwrap();
        log.reopen();
        log.set_filter(&config(&[("LOG_LEVEL", "debug,parlant=trace")]).filter);
        tracing::trace!(target: "parlant_api", "Shown");
        log::debug!(target: "library", "Shown");
        log::trace!(target: "library", "Hidden");
        log::debug!(target: "tokio_postgres::query", "Hidden");

        log.set_filter(&config(&[("LOG_LEVEL", "error")]).filter);
        tracing::warn!(target: "parlant_api", "Hidden");
        let panic = std::panic::catch_unwind(|| panic!("on purpose"));
        assert!(panic.is_err());
    });
    drop(guard);

    let lines = |path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let lines = [lines(&old), lines(&path)].concat();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["Inside", "First", "Warned", "Shown", "Shown", "Panicked"]);
    for line in &lines {
        assert_eq!(line["request_id"], "r-1");
    }
    assert_eq!(lines[1]["said"], "said");
    let of_library = &lines[2];
    assert_eq!(of_library["logger"], "library");
    assert_eq!(of_library["module"], module_path!());
    assert!(of_library["line"].is_u64());
    assert_eq!(lines[5]["reason"], "on purpose");
}
