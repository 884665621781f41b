//! What is believed after several looks: one look that differs may be an accident, two are not.

use crate::{CheckReport, Status};

/// The last look that counts.
#[derive(Debug)]
pub(crate) struct Belief {
    pub(crate) report: CheckReport,
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
    /// That nothing is known yet.
    pub(crate) fn new(report: CheckReport) -> Self {
        Self { report, doubt: None }
    }

    /// Takes a look into account. The first counts, and so does the second of two that agree.
    pub(crate) fn observe(&mut self, look: CheckReport) -> Observed {
        let before = self.report.checked_at.map(|_| self.report.status);
        let seen = Some(look.status);
        if before.is_some() && before != seen && self.doubt != seen {
            self.doubt = seen;
            return Observed::Doubtful;
        }
        self.doubt = None;
        self.report = look;
        if before == seen { Observed::Same } else { Observed::Changed(before) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::Utc;

    use super::*;
    use crate::Outcome;

    fn nothing() -> Belief {
        Belief::new(CheckReport::unknown(true))
    }

    fn look(status: Status) -> CheckReport {
        let outcome = match status {
            Status::Healthy => Outcome::healthy(),
            Status::Degraded => Outcome::degraded("limps"),
            Status::Unhealthy => Outcome::unhealthy("broken"),
        };
        CheckReport::new(&outcome, true, Duration::ZERO, Utc::now())
    }

    fn error(belief: &Belief) -> Option<&'static str> {
        belief.report.findings.as_ref().unwrap().error
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
            let mut belief = nothing();
            let believed: Vec<_> = looks
                .iter()
                .map(|status| {
                    belief.observe(look(*status));
                    belief.report.status
                })
                .collect();
            assert_eq!(believed, expected, "{looks:?}");
        }
    }

    #[test]
    fn what_is_told_belongs_to_the_status() {
        let mut belief = nothing();
        assert_eq!(belief.report.status, Status::Unhealthy);
        assert_eq!(belief.observe(look(Status::Healthy)), Observed::Changed(None));
        let failed = || look(Status::Unhealthy);
        assert_eq!(belief.observe(failed()), Observed::Doubtful);
        assert_eq!(error(&belief), None);
        assert_eq!(belief.observe(failed()), Observed::Changed(Some(Status::Healthy)));
        assert_eq!(error(&belief), Some("broken"));
        assert_eq!(belief.observe(failed()), Observed::Same);
    }
}
