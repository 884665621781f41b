use std::path::Path;

use metrics::Gauge;
use parlant_metrics::Process;
use serde_json::json;

use crate::cgroup::memory_limit;
use crate::check::Running;
use crate::metrics::{MEMORY_LIMIT, MEMORY_USED, single};
use crate::numbers::round;
use crate::{Check, Outcome};

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// How much of the memory that it may have this process has.
pub struct Memory {
    used: Gauge,
    limit: Gauge,
}

impl Memory {
    /// Install the metrics recorder first.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it registers metrics, which a default should not")]
    pub fn new() -> Self {
        Self {
            used: single(MEMORY_USED, "The part of the memory limit that the process has in RAM."),
            limit: single(MEMORY_LIMIT, "The container's memory limit, or the memory of the host."),
        }
    }

    fn look(&self) -> Outcome {
        let host = psutil::memory::virtual_memory().map(|memory| memory.total());
        let container = memory_limit(Path::new("/"));
        let limit = container.into_iter().chain(host.ok()).min();
        let (Some(process), Some(limit)) = (Process::sample(), limit) else {
            return Outcome::degraded("the use of memory cannot be told");
        };
        let (resident, limit) = (process.resident_bytes as f64, limit as f64);
        self.used.set(resident / limit);
        self.limit.set(limit);
        judge(resident / limit).with_details(json!({
            "rss_mb": round(resident / MEBIBYTE),
            "vms_mb": round(process.virtual_bytes as f64 / MEBIBYTE),
            "limit_mb": round(limit / MEBIBYTE),
            "percent": round(100.0 * resident / limit),
        }))
    }
}

impl Check for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn run(&self) -> Running<'_> {
        Box::pin(async { self.look() })
    }
}

fn judge(ratio: f64) -> Outcome {
    match ratio {
        ..=0.7 => Outcome::healthy(),
        ..=0.9 => Outcome::degraded("more than 70 % of the memory is used"),
        _ => Outcome::unhealthy("more than 90 % of the memory is used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn the_limits_are_70_and_90_percent() {
        use Status::{Degraded, Healthy, Unhealthy};
        for (ratio, expected) in
            [(0.0, Healthy), (0.7, Healthy), (0.701, Degraded), (0.9, Degraded), (0.901, Unhealthy), (1.2, Unhealthy)]
        {
            assert_eq!(judge(ratio).status, expected, "{ratio}");
        }
    }

    #[test]
    fn it_looks_at_this_process() {
        let outcome = Memory::new().look();
        let number = |name: &str| outcome.details[name].as_f64().unwrap();
        assert!(number("rss_mb") > 1.0);
        assert!(number("vms_mb") >= number("rss_mb"));
        assert!(number("limit_mb") > number("rss_mb"));
        assert!((number("percent") - 100.0 * number("rss_mb") / number("limit_mb")).abs() < 0.1);
    }
}
