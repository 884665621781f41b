//! The Prometheus recorder: which buckets each histogram has, and the text that `/metrics` answers.
//!
//! Every crate emits through the [`metrics`] facade under names that it owns, in its own `metrics.rs`. A program
//! installs the recorder once, before anything emits, and keeps the [`Exporter`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let exporter = parlant_metrics::install()?;
//! metrics::counter!("parlant_example_total").increment(1);
//! assert!(exporter.render().contains("parlant_example_total 1"));
//! # Ok(())
//! # }
//! ```

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds in seconds of every histogram of durations, from a cached answer to the longest bearable one.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

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
    /// Everything in Prometheus' text format. Touches nothing but memory.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Sorts waiting histogram samples into their buckets; see [`UPKEEP_INTERVAL`].
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Makes the Prometheus recorder the one that the whole process emits to.
///
/// # Errors
/// When the process already has a recorder.
pub fn install() -> Result<Exporter, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()
        .map(Exporter)
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_are_histograms_with_fixed_buckets_and_not_summaries() {
        let exporter = super::install().unwrap();
        metrics::histogram!("parlant_example_seconds").record(0.03);
        exporter.upkeep();
        let text = exporter.render();
        assert!(text.contains("# TYPE parlant_example_seconds histogram"), "{text}");
        assert!(text.contains(r#"parlant_example_seconds_bucket{le="0.025"} 0"#), "{text}");
        assert!(text.contains(r#"parlant_example_seconds_bucket{le="0.05"} 1"#), "{text}");
        assert!(super::install().is_err(), "a process has one recorder");
    }
}
