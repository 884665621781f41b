//! What this process has logged.

use std::sync::{Mutex, Once};

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Begins to listen.
pub(crate) fn listen() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        let keep = |line: &str| LINES.lock().unwrap().push(line.to_owned());
        let lines = parlant_telemetry::Lines::new(parlant_telemetry::Format::Json, keep);
        tracing_subscriber::registry().with(lines).init();
    });
}

/// The lines of this crate that contain `what`.
pub(crate) fn about(what: &str) -> Vec<Value> {
    let lines = LINES.lock().unwrap();
    let ours = lines.iter().filter(|line| line.contains("parlant_alerting") && line.contains(what));
    ours.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everything.
pub(crate) fn all() -> String {
    LINES.lock().unwrap().concat()
}
