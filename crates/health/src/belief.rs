//! What is believed after several looks: one look that differs may be an accident, two are not.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::Status;

/// A look, as the report tells it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) status: Status,
    pub(crate) response_time: Duration,
    /// None before the first look.
    pub(crate) checked_at: Option<DateTime<Utc>>,
    pub(crate) details: Value,
    pub(crate) error: Option<&'static str>,
}

/// The last look that counts.
#[derive(Debug)]
pub(crate) struct Belief {
    pub(crate) record: Record,
    /// What the look after it found instead.
    doubt: Option<Status>,
}

/// What became of a look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// It is as it was.
    Same,
    /// The status is another one from now on; it was this, or not known.
    Changed(Option<Status>),
    /// It contradicts what is believed. The next one decides.
    Doubtful,
}

impl Belief {
    /// Nothing is known yet: what nobody has seen working is not relied on.
    pub(crate) fn new() -> Self {
        let record = Record {
            status: Status::Unhealthy,
            response_time: Duration::ZERO,
            checked_at: None,
            details: json!({}),
            error: Some("has not been checked yet"),
        };
        Self { record, doubt: None }
    }

    /// Takes a look into account. The first counts, and so does the second of two that agree.
    pub(crate) fn observe(&mut self, look: Record) -> Observed {
        let before = self.record.checked_at.map(|_| self.record.status);
        let seen = Some(look.status);
        if before.is_some() && before != seen && self.doubt != seen {
            self.doubt = seen;
            return Observed::Doubtful;
        }
        self.doubt = None;
        self.record = look;
        if before == seen { Observed::Same } else { Observed::Changed(before) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(status: Status) -> Record {
        Record { status, checked_at: Some(Utc::now()), error: None, ..Belief::new().record }
    }

    #[test]
    fn a_status_changes_when_two_looks_agree_and_at_once_when_it_is_the_first() {
        use Status::{Degraded as D, Healthy as H, Unhealthy as U};
        for (looks, expected) in [
            (&[H][..], &[H][..]),
            (&[U], &[U]),
            (&[D], &[D]),
            (&[H, U], &[H, H]),
            (&[H, U, U], &[H, H, U]),
            (&[H, U, H, U, H], &[H, H, H, H, H]),
            (&[H, U, D, D], &[H, H, H, D]),
            (&[H, U, D, U], &[H, H, H, H]),
            (&[U, H, H], &[U, U, H]),
            (&[U, H, U, H, H, U, U], &[U, U, U, U, H, H, U]),
        ] {
            let mut belief = Belief::new();
            let believed: Vec<_> = looks
                .iter()
                .map(|status| {
                    belief.observe(look(*status));
                    belief.record.status
                })
                .collect();
            assert_eq!(believed, expected, "{looks:?}");
        }
    }

    #[test]
    fn what_is_told_belongs_to_the_status() {
        let mut belief = Belief::new();
        assert_eq!(belief.record.status, Status::Unhealthy);
        assert_eq!(belief.observe(look(Status::Healthy)), Observed::Changed(None));
        let failed = || Record { error: Some("broken"), ..look(Status::Unhealthy) };
        assert_eq!(belief.observe(failed()), Observed::Doubtful);
        assert_eq!(belief.record.error, None);
        assert_eq!(belief.observe(failed()), Observed::Changed(Some(Status::Healthy)));
        assert_eq!(belief.record.error, Some("broken"));
        assert_eq!(belief.observe(failed()), Observed::Same);
    }
}
