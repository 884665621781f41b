//! The Prometheus recorder: which buckets each histogram has, what the process itself uses, and the text that
//! `/metrics` answers.
//!
//! Every crate emits through the [`metrics`] facade under names that it owns, in its own `metrics.rs`. A program
//! installs the recorder once, before anything emits, and keeps the [`Exporter`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let exporter = parlant_metrics::install()?;
//! metrics::counter!("parlant_example_total", "result" => "good").increment(1);
//! assert!(exporter.render().contains(r#"parlant_example_total{result="good"} 1"#));
//! assert_eq!(exporter.snapshot().sum("parlant_example_total", &[]), Some(1.0));
//! # Ok(())
//! # }
//! ```
//!
//! # The process's own numbers
//! [`Process`] asks `sysinfo`, which reads `/proc` anew at each look, and its families are written with the names and
//! types of Prometheus' own client libraries. The collector `metrics-process` emits through the facade instead, whose
//! counters are whole numbers: processor time would be a gauge, or whole seconds.
//!
//! # To extend
//! A metric belongs to the crate that knows the number: a constant with the name and a handle in its `metrics.rs`, a
//! `describe_…!` for the help text, and every value that its labels can have registered at once, so that each series
//! is there as 0 before anything happened. Names end in their unit; a histogram's in `_seconds`. Whatever a client can
//! choose (a path, an id, a host) is never the value of a label. The page `docs/reference/metrics.md` lists them all
//! and is held against a scrape by a test.

mod process;
mod snapshot;

pub use process::Process;
pub use snapshot::{Sample, Snapshot};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds in seconds of every histogram of durations, from a cached answer to the longest bearable one.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Those of turns, which take as long as a model thinks.
const TURN_SECONDS: [f64; 9] = [0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Gauge 1 by `version` and `revision`.
pub const BUILD_INFO: &str = "parlant_build_info";

/// How often [`Exporter::upkeep`] wants to be called. Samples of histograms pile up in between, 15 bytes each.
pub const UPKEEP_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// The collected numbers of this process.
#[derive(Clone)]
pub struct Exporter(PrometheusHandle);

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// Everything in Prometheus' text format. Touches nothing but memory and `/proc/self`.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        if let Some(process) = Process::sample() {
            process.write(&mut text);
        }
        text
    }

    /// The numbers of [`render`](Self::render), to reckon with.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::parse(&self.render())
    }

    /// Sorts waiting histogram samples into their buckets; see [`UPKEEP_INTERVAL`].
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Says which build runs, as the labels of a gauge that is always 1.
pub fn build_info(version: &'static str, revision: &'static str) {
    metrics::describe_gauge!(BUILD_INFO, "The build that runs; always 1.");
    metrics::gauge!(BUILD_INFO, "version" => version, "revision" => revision).set(1.0);
}

/// Makes the Prometheus recorder the one that the whole process emits to.
///
/// # Errors
/// When the process already has a recorder.
pub fn install() -> Result<Exporter, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("parlant_engine_turn_duration_seconds".to_owned()), &TURN_SECONDS)?
        .install_recorder()
        .map(Exporter)
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_recorder_serves_the_process() {
        let exporter = super::install().unwrap();
        assert!(super::install().is_err(), "a process has one recorder");

        metrics::histogram!("parlant_example_seconds", "query" => "a \"b\"\n\\c").record(0.03);
        metrics::histogram!("parlant_engine_turn_duration_seconds").record(45.0);
        exporter.upkeep();
        super::build_info("1.2.3", "abc");
        let text = exporter.render();
        for expected in [
            "# TYPE parlant_example_seconds histogram\n",
            "# TYPE process_cpu_seconds_total counter\n",
            "# HELP process_resident_memory_bytes Memory in RAM.\n",
            r#"parlant_build_info{version="1.2.3",revision="abc"} 1"#,
        ] {
            assert!(text.contains(expected), "{text}");
        }
        for line in text.lines() {
            assert!(
                line.is_empty() || line.starts_with('#') || super::Snapshot::parse(line).iter().count() == 1,
                "{line}"
            );
        }

        let snapshot = exporter.snapshot();
        let query = ("query", "a \"b\"\n\\c");
        assert_eq!(snapshot.sum("parlant_example_seconds_bucket", &[query, ("le", "0.025")]), Some(0.0));
        assert_eq!(snapshot.sum("parlant_example_seconds_bucket", &[query, ("le", "0.05")]), Some(1.0));
        assert_eq!(snapshot.sum("parlant_example_seconds_bucket", &[query, ("le", "+Inf")]), Some(1.0));
        assert_eq!(snapshot.sum("parlant_example_seconds_count", &[query]), Some(1.0));
        assert_eq!(snapshot.sum("parlant_engine_turn_duration_seconds_bucket", &[("le", "60")]), Some(1.0));
        assert!(snapshot.sum("process_resident_memory_bytes", &[]).unwrap() > 1e6);
        assert!(snapshot.sum("process_threads", &[]).unwrap() >= 1.0);
    }
}
