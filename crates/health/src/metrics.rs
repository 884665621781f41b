//! The names of this crate's metrics, and their handles. Each is there from the moment its check or the monitor is
//! made: install the recorder first.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::{Gauge, Unit, describe_gauge, gauge};

use crate::Status;

/// Gauge: 0 unhealthy, 1 degraded, 2 healthy; what the report says in whole.
pub const STATUS: &str = "parlant_health_status";
/// Gauge by `check`: 0 unhealthy, 1 degraded, 2 healthy; what the report says.
pub const CHECK_STATUS: &str = "parlant_health_check_status";
/// Gauge by `check`: how long the last look took.
pub const CHECK_DURATION: &str = "parlant_health_check_duration_seconds";
/// Gauge by `check`: when the last look ended, since 1970.
pub const CHECK_TIMESTAMP: &str = "parlant_health_check_timestamp_seconds";
/// Gauge: 1 when the last ping of the database was answered.
pub const DATABASE_UP: &str = "parlant_database_up";
/// Gauge by `mountpoint`: the part of a file system that is used, as `df` counts it; NaN once it is no longer
/// looked at.
pub const DISK_USED: &str = "parlant_disk_used_ratio";
/// Gauge: the part of the limit that this process has in RAM.
pub const MEMORY_USED: &str = "parlant_memory_used_ratio";
/// Gauge: the container's limit, or the memory of the host.
pub const MEMORY_LIMIT: &str = "parlant_memory_limit_bytes";
/// Gauge: migrations that wait to be applied.
pub const MIGRATIONS_PENDING: &str = "parlant_migrations_pending";

/// The series of one check.
pub(crate) struct CheckMetrics {
    status: Gauge,
    duration: Gauge,
    timestamp: Gauge,
}

impl CheckMetrics {
    pub(crate) fn register(check: &'static str) -> Self {
        describe_gauge!(CHECK_STATUS, "What a check has found: 0 unhealthy, 1 degraded, 2 healthy.");
        describe_gauge!(CHECK_DURATION, Unit::Seconds, "How long a check took the last time.");
        describe_gauge!(CHECK_TIMESTAMP, Unit::Seconds, "When a check ended the last time, since 1970.");
        Self {
            status: gauge!(CHECK_STATUS, "check" => check),
            duration: gauge!(CHECK_DURATION, "check" => check),
            timestamp: gauge!(CHECK_TIMESTAMP, "check" => check),
        }
    }

    pub(crate) fn looked(&self, believed: Status, took: Duration, at: DateTime<Utc>) {
        self.status.set(f64::from(believed as u8));
        self.duration.set(took.as_secs_f64());
        self.timestamp.set(at.timestamp_millis() as f64 / 1e3);
    }
}

/// A series that is alone in its family.
pub(crate) fn single(name: &'static str, help: &'static str) -> Gauge {
    describe_gauge!(name, help);
    gauge!(name)
}
