//! The names of this crate's metrics, and their handles. Each series is there from the moment that
//! [`Alerting`](crate::Alerting) is made: install the recorder first.

use std::collections::BTreeMap;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::{Alert, Key, Machine, Rule};

/// Gauge by `alert`: how many alerts of that name fire.
pub const FIRING: &str = "parlant_alerts_firing";
/// Counter by `notifier` and `outcome`: `sent`, `failed` (a try that is repeated), `refused` (for good) and `dropped`
/// (too much waited).
pub const NOTIFICATIONS: &str = "parlant_alert_notifications_total";
/// Gauge by `notifier`: messages that wait to be sent.
pub const WAITING: &str = "parlant_alert_notifications_waiting";
/// Counter by `outcome`: `sent`, `failed`. Without a heartbeat there is none.
pub const HEARTBEATS: &str = "parlant_alert_heartbeats_total";

/// How many alerts of each name fire.
pub(crate) struct Firing(BTreeMap<&'static str, Gauge>);

impl Firing {
    pub(crate) fn register(rules: &[Rule]) -> Self {
        describe_gauge!(FIRING, "How many alerts of a name fire.");
        Self(rules.iter().map(|rule| (rule.name, gauge!(FIRING, "alert" => rule.name))).collect())
    }

    pub(crate) fn set(&self, machine: &Machine) {
        for (name, gauge) in &self.0 {
            let fires = |(key, alert): &(&Key, &Alert)| key.alert == *name && alert.firing.is_some();
            gauge.set(machine.alerts().filter(fires).count() as f64);
        }
    }
}

/// What becomes of one notifier's messages.
pub(crate) struct Notifications {
    pub(crate) sent: Counter,
    pub(crate) failed: Counter,
    pub(crate) refused: Counter,
    pub(crate) dropped: Counter,
    pub(crate) waiting: Gauge,
}

impl Notifications {
    pub(crate) fn register(notifier: &'static str) -> Self {
        describe_counter!(
            NOTIFICATIONS,
            "Messages about alerts: sent, refused for good or dropped, and tries that failed."
        );
        describe_gauge!(WAITING, "Messages about alerts that wait to be sent.");
        let counted = |outcome| counter!(NOTIFICATIONS, "notifier" => notifier, "outcome" => outcome);
        Self {
            sent: counted("sent"),
            failed: counted("failed"),
            refused: counted("refused"),
            dropped: counted("dropped"),
            waiting: gauge!(WAITING, "notifier" => notifier),
        }
    }
}

/// What becomes of heartbeats.
pub(crate) struct Heartbeats {
    pub(crate) sent: Counter,
    pub(crate) failed: Counter,
}

impl Heartbeats {
    pub(crate) fn register() -> Self {
        describe_counter!(HEARTBEATS, "Heartbeats that were heard, and that were not.");
        let counted = |outcome| counter!(HEARTBEATS, "outcome" => outcome);
        Self { sent: counted("sent"), failed: counted("failed") }
    }
}
