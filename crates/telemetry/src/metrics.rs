//! The name of this crate's metric.

use metrics::Counter;

/// Counter: lines of the log that found no room, because standard error or the file took none for too long.
pub const LINES_DROPPED: &str = "parlant_log_lines_dropped_total";

/// The counter, shown as 0 from now on.
pub(crate) fn lines_dropped() -> Counter {
    metrics::describe_counter!(LINES_DROPPED, "Lines of the log that found no room.");
    let dropped = metrics::counter!(LINES_DROPPED);
    dropped.increment(0);
    dropped
}
