use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Severity, Status};

/// An alert that was told this often within [`FLAP_WINDOW`] is flapping: its end is told once it was quiet for
/// [`FLAP_CALM`]. That makes 2 × 3 messages of any number of flaps in a row, and no more than 12 an hour of those that
/// come as often as the calm allows.
const FLAPS: usize = 3;
const FLAP_WINDOW: TimeDelta = TimeDelta::hours(1);
const FLAP_CALM: TimeDelta = TimeDelta::minutes(15);

/// The first round after its cause is over, and two more.
const AFTER_CAUSE: u8 = 3;
/// Nobody else tells it in two rounds in a row.
const AFTER_OTHERS: u8 = 2;

/// Which alert: what one rule says about one of the values that its expression has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The rule's name.
    pub alert: String,
    /// How urgent it is; two rules may share a name.
    pub severity: Severity,
    /// Names and values, sorted by name.
    pub labels: Vec<(String, String)>,
}

impl Key {
    pub(crate) fn parts(&self) -> (&str, Severity, &[(String, String)]) {
        (&self.alert, self.severity, &self.labels)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{} {} {{{}}}", self.alert, self.severity, labels.join(","))
    }
}

/// What is known of an alert, and what people know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What was said about it last.
    pub title: String,
    /// The same in detail.
    pub message: String,
    /// Since when its condition holds; none: it does not.
    pub since: Option<DateTime<Utc>>,
    /// Since when it has held for as long as the rule wants; none: it does not fire (yet).
    pub firing: Option<DateTime<Utc>>,
    /// It fired, and nobody can tell whether it still would.
    pub unknown: bool,
    /// When it last ceased to fire.
    pub ended: Option<DateTime<Utc>>,
    /// What people were told, and not told to be over.
    pub told: Option<Told>,
    /// It comes and goes.
    pub flapping: bool,
    /// When people were told of it lately.
    firings: VecDeque<DateTime<Utc>>,
    /// For how many rounds it has to fire with nobody and nothing else accounting for it.
    #[serde(skip)]
    patience: u8,
}

/// That people know of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Since when they know it to be so.
    pub since: DateTime<Utc>,
    /// When they heard of it last.
    pub last: DateTime<Utc>,
}

impl Alert {
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            message: String::new(),
            since: None,
            firing: None,
            unknown: false,
            ended: None,
            told: None,
            flapping: false,
            firings: VecDeque::new(),
            patience: 0,
        }
    }

    /// Its condition holds.
    pub(crate) fn holds(&mut self, at: DateTime<Utc>, hold: Duration, message: String) {
        let since = *self.since.get_or_insert(at);
        self.message = message;
        self.unknown = false;
        if (at - since).to_std().is_ok_and(|held| held >= hold) {
            self.firing.get_or_insert(at);
            self.ended = None;
        }
    }

    /// Nobody can tell whether its condition holds: what fires goes on, what was about to starts over.
    pub(crate) fn lost_sight(&mut self) {
        self.unknown = self.firing.is_some();
        if self.firing.is_none() {
            self.since = None;
        }
    }

    /// Its condition does not hold.
    pub(crate) fn ends(&mut self, at: DateTime<Utc>) {
        self.since = None;
        self.unknown = false;
        self.patience = 0;
        if self.firing.take().is_some() {
            self.ended = Some(at);
        }
    }

    /// Somebody else tells it, from its beginning to its end.
    pub(crate) fn is_left_to_others(&mut self) {
        self.told = None;
        self.flapping = false;
        self.patience = AFTER_OTHERS;
    }

    /// What is to be said now. `explained`: by something else that fires and was or will be told.
    pub(crate) fn news(&mut self, at: DateTime<Utc>, explained: bool, repeat: Duration) -> Option<Status> {
        let Some(firing) = self.firing else { return self.end_to_tell(at) };
        if explained {
            self.patience = AFTER_CAUSE;
            return None;
        }
        self.patience = self.patience.saturating_sub(1);
        match &mut self.told {
            None if self.patience == 0 => {
                self.firings.push_back(at);
                self.forget_firings(at);
                self.flapping = self.firings.len() >= FLAPS;
                self.told = Some(Told { since: firing, last: at });
                Some(Status::Firing)
            }
            Some(told) if !repeat.is_zero() && (at - told.last).to_std().is_ok_and(|silent| silent >= repeat) => {
                told.last = at;
                Some(Status::StillFiring)
            }
            _ => None,
        }
    }

    fn end_to_tell(&mut self, at: DateTime<Utc>) -> Option<Status> {
        self.told.as_ref()?;
        let calm = self.ended.is_none_or(|ended| at - ended >= FLAP_CALM);
        (!self.flapping || calm).then_some(Status::Resolved)
    }

    /// What people knew of it is over.
    pub(crate) fn is_settled(&mut self) {
        self.told = None;
        self.flapping = false;
    }

    /// Whether anything depends on its being remembered.
    pub(crate) fn matters(&mut self, at: DateTime<Utc>) -> bool {
        self.forget_firings(at);
        self.since.is_some() || self.told.is_some() || !self.firings.is_empty()
    }

    fn forget_firings(&mut self, at: DateTime<Utc>) {
        while self.firings.len() > FLAPS || self.firings.front().is_some_and(|firing| at - *firing > FLAP_WINDOW) {
            self.firings.pop_front();
        }
    }

    /// The clock was set back by so much: what lasts goes on from there.
    pub(crate) fn shift(&mut self, back: TimeDelta) {
        let told = self.told.iter_mut().flat_map(|told| [&mut told.since, &mut told.last]);
        let moments = [&mut self.since, &mut self.firing, &mut self.ended].into_iter().flatten();
        moments.chain(told).chain(&mut self.firings).for_each(|moment| *moment -= back);
    }
}
