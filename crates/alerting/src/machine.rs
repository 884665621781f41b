//! What fires, and what of that people are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::{Alert, Config, Expression, Finding, Inhibition, Key, Notification, Rule, State, Status, humanize};

/// Alerts that are known at a time. What else fires is left out until there is room again.
pub(crate) const LIMIT: usize = 1000;
/// How long a condition that was not seen may be taken to have gone on, when a process takes over from another.
const GAP: TimeDelta = TimeDelta::minutes(10);

/// Decides what people are told. It does nothing by itself and looks at no clock: each round, it is given what the rules
/// found ([`observe`](Self::observe)), is asked what it has to tell ([`firing`](Self::firing)) and what that is in words
/// ([`tell`](Self::tell)).
///
/// - One message when an alert fires, one when it is over, and reminders in between.
/// - What nobody can tell ([`Finding::Unknown`]) neither ends an alert nor begins one.
/// - What another firing alert explains is not told; when that is over, it is if it fires two rounds later.
/// - An alert that was told three times in an hour is flapping: its end is told once it was quiet for a quarter of an hour.
///   So any number of flaps in a row makes six messages.
/// - The clock may step. Going back, it takes every moment that is remembered along.
#[derive(Debug)]
pub struct Machine {
    rules: Vec<Rule>,
    inhibitions: Vec<Inhibition>,
    repeat: Duration,
    runbooks: String,
    fields: Vec<(String, String)>,
    alerts: BTreeMap<Key, Alert>,
    unknown: BTreeSet<String>,
    /// When the last round was.
    at: Option<DateTime<Utc>>,
    /// Something was left out in the last round.
    crowded: bool,
}

impl Machine {
    /// A machine that knows of no alert. Two of the `rules` may share a name, but not a severity as well.
    #[must_use]
    pub fn new(rules: Vec<Rule>, config: &Config) -> Self {
        Self {
            rules,
            inhibitions: Vec::new(),
            repeat: config.repeat_interval,
            runbooks: config.runbooks.clone(),
            fields: config.fields.clone(),
            alerts: BTreeMap::new(),
            unknown: BTreeSet::new(),
            at: None,
            crowded: false,
        }
    }

    /// The same, silent about what is explained.
    #[must_use]
    pub fn with_inhibitions(self, inhibitions: Vec<Inhibition>) -> Self {
        Self { inhibitions, ..self }
    }

    /// Takes over what an earlier process knew: what it told is not told again while it fires, nor forgotten when it
    /// is over.
    pub fn adopt(&mut self, at: DateTime<Utc>, earlier: &State) {
        self.step(at);
        for (key, alert) in &earlier.alerts {
            let known = self.alerts.get(key).is_some_and(|known| known.told.is_some());
            if known || !has_room(&mut self.alerts, key) {
                continue;
            }
            let (key, mut alert) = (key.clone(), alert.clone());
            if earlier.at > at {
                alert.shift(earlier.at - at);
            }
            let hold = self.rules.iter().find(|rule| is_of(&key, rule)).map_or(Duration::ZERO, |rule| rule.hold);
            let age = alert.since.map(|since| (at - since - GAP).to_std().unwrap_or_default());
            if alert.firing.is_none() && age.is_some_and(|age| age > hold) {
                alert.since = None;
            }
            self.alerts.insert(key, alert);
        }
    }

    /// Begins a round with what was found, one for each of the rules in their order.
    pub fn observe(&mut self, at: DateTime<Utc>, findings: &[Finding]) {
        self.step(at);
        self.unknown.clear();
        let mut crowded = false;
        for (rule, finding) in self.rules.iter().zip(findings) {
            let readings = match finding {
                Finding::Unknown => {
                    self.unknown.insert(rule.name.to_owned());
                    self.alerts
                        .iter_mut()
                        .filter(|(key, _)| is_of(key, rule))
                        .for_each(|(_, alert)| alert.lost_sight());
                    continue;
                }
                Finding::Values(readings) => readings,
            };
            let over = |key: &Key| is_of(key, rule) && readings.iter().all(|reading| reading.labels != key.labels);
            self.alerts.iter_mut().filter(|(key, _)| over(key)).for_each(|(_, alert)| alert.ends(at));
            for reading in readings {
                let (alert, labels) = (rule.name.to_owned(), reading.labels.clone());
                let key = Key { alert, severity: rule.severity, labels };
                if has_room(&mut self.alerts, &key) {
                    let alert = self.alerts.entry(key).or_insert_with(|| Alert::new(rule.summary));
                    alert.holds(at, rule.hold, rule.describe(reading));
                } else {
                    crowded = true;
                }
            }
        }
        if crowded && !self.crowded {
            tracing::error!("More than {LIMIT} alerts at a time: the others are left out");
        }
        self.crowded = crowded;
        // A rule may be gone with the version that had it.
        let gone = |key: &Key| !self.rules.iter().any(|rule| is_of(key, rule));
        self.alerts.iter_mut().filter(|(key, _)| gone(key)).for_each(|(_, alert)| alert.ends(at));
        self.alerts.retain(|_, alert| alert.matters(at));
    }

    /// Everything that there is or will be something to tell about: the claims that this process wants.
    #[must_use]
    pub fn firing(&self) -> Vec<Key> {
        let causes = self.causes();
        let to_tell = |(key, alert): &(&Key, &Alert)| {
            alert.told.is_some() || alert.firing.is_some() && self.is_told(key) && !self.is_explained(key, &causes)
        };
        self.alerts.iter().filter(to_tell).map(|(key, _)| key.clone()).collect()
    }

    /// Ends a round: what people are told now. `elsewhere`: what other processes tell.
    ///
    /// What was told elsewhere and is no longer is told here if that is so in two rounds in a row. What ends while it
    /// is told elsewhere is not told here.
    pub fn tell(&mut self, elsewhere: &BTreeSet<Key>) -> Vec<Notification> {
        let Some(at) = self.at else { return Vec::new() };
        let causes = self.causes();
        let keys: Vec<_> = self.alerts.keys().filter(|key| self.is_told(key)).cloned().collect();
        let mut news = Vec::new();
        for key in keys {
            let explained = self.is_explained(&key, &causes);
            let Some(alert) = self.alerts.get_mut(&key) else { continue };
            if elsewhere.contains(&key) {
                alert.is_left_to_others();
            } else if let Some(status) = alert.news(at, explained, self.repeat) {
                news.push((key, status));
            }
        }
        news.into_iter().filter_map(|(key, status)| self.notification(key, status, at)).collect()
    }

    /// Every alert that is known, those included of which only the past matters.
    pub fn alerts(&self) -> impl Iterator<Item = (&Key, &Alert)> {
        self.alerts.iter()
    }

    /// The rules that nobody could judge in the last round.
    #[must_use]
    pub fn unknown(&self) -> &BTreeSet<String> {
        &self.unknown
    }

    fn step(&mut self, at: DateTime<Utc>) {
        if let Some(last) = self.at.replace(at).filter(|last| *last > at) {
            self.alerts.values_mut().for_each(|alert| alert.shift(last - at));
        }
    }

    /// What always fires says something to whoever misses it; the heartbeat does that here.
    fn is_told(&self, key: &Key) -> bool {
        !self.rules.iter().any(|rule| is_of(key, rule) && rule.expression == Expression::Always)
    }

    fn causes(&self) -> BTreeSet<Key> {
        self.alerts.iter().filter(|(_, alert)| alert.firing.is_some()).map(|(key, _)| key.clone()).collect()
    }

    fn is_explained(&self, key: &Key, causes: &BTreeSet<Key>) -> bool {
        let explains = |cause: &Key| self.inhibitions.iter().any(|by| by.explains(cause.parts(), key.parts()));
        causes.iter().any(|cause| cause != key && explains(cause))
    }

    fn notification(&mut self, key: Key, status: Status, at: DateTime<Utc>) -> Option<Notification> {
        let alert = self.alerts.get_mut(&key)?;
        let since = alert.told.as_ref()?.since;
        let (at, title, mut message) = match status {
            Status::Resolved => {
                (alert.ended.unwrap_or(at), format!("Resolved: {}", alert.title), alert.message.clone())
            }
            Status::StillFiring => (at, format!("Still firing: {}", alert.title), alert.message.clone()),
            Status::Firing | Status::Test => (since, alert.title.clone(), alert.message.clone()),
        };
        if alert.flapping && status != Status::Resolved {
            message += " It comes and goes: its end is told once it was quiet for 15 minutes.";
        }
        let mut fields = vec![("severity".to_owned(), key.severity.to_string())];
        fields.push(("since".to_owned(), since.to_rfc3339_opts(SecondsFormat::Secs, true)));
        if status == Status::Resolved {
            fields.push(("lasted".to_owned(), humanize::duration((at - since).num_seconds().max(0) as f64)));
            alert.is_settled();
        }
        fields.extend(key.labels.iter().chain(&self.fields).cloned());
        let rule = self.rules.iter().find(|rule| is_of(&key, rule));
        let runbook_url = rule.map(|rule| self.runbooks.replace("{page}", &rule.page()));
        Some(Notification { status, key, title, message, fields, runbook_url, at })
    }
}

fn is_of(key: &Key, rule: &Rule) -> bool {
    key.alert == rule.name && key.severity == rule.severity
}

/// Makes it if need be, at the cost of knowing how often something came and went that is over.
fn has_room(alerts: &mut BTreeMap<Key, Alert>, key: &Key) -> bool {
    if alerts.len() < LIMIT || alerts.contains_key(key) {
        return true;
    }
    let past = alerts.iter().find(|(_, alert)| alert.since.is_none() && alert.told.is_none());
    let past = past.map(|(key, _)| key.clone());
    past.is_some_and(|past| alerts.remove(&past).is_some())
}
