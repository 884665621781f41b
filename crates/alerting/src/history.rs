use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parlant_metrics::{Sample, Snapshot};

use crate::expression::Selector;
use crate::rate::{Growth, NEAR, seconds};

/// Names and values, sorted by name, without the metric's name.
pub(crate) type Labels = Vec<(String, String)>;

/// How long a number counts as the last one when nobody looks again: Prometheus' `--query.lookback-delta`.
const LOOKBACK: Duration = Duration::from_mins(5);

/// What one source said about the metrics that some rule looks at, as far back as any does.
///
/// A series costs 16 bytes for each look at which it was not as at the look before, and its labels.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// When somebody looked, in milliseconds since 1970.
    looks: VecDeque<i64>,
    /// The number of the first of these.
    first: usize,
    families: BTreeMap<&'static str, Family>,
}

/// The series of one metric.
#[derive(Debug, Default)]
struct Family {
    /// Which of them are kept.
    selectors: Vec<Selector>,
    /// For how long.
    window: Duration,
    /// Whether the last look found any, kept or not.
    present: bool,
    series: BTreeMap<Labels, Series>,
}

/// The values of one series, each with the number of the look from which on it was that.
#[derive(Debug, Default)]
struct Series(VecDeque<(usize, f64)>);

/// The value of a series that is not there, told by its bits from a number that is none. Prometheus' own.
const STALE: u64 = 0x7ff0_0000_0000_0002;

impl History {
    /// Keeps what `selector` needs to look back as far as this.
    pub(crate) fn keep(&mut self, selector: &Selector, window: Duration) {
        let family = self.families.entry(selector.metric).or_default();
        family.window = family.window.max(window);
        if !family.selectors.contains(selector) {
            family.selectors.push(selector.clone());
        }
    }

    /// As if nobody had ever looked.
    pub(crate) fn forget(&mut self) {
        self.first += self.looks.len();
        self.looks.clear();
        self.families.values_mut().for_each(|family| family.series.clear());
    }

    /// Takes what a look at `at` has found. A second look at the same moment changes nothing.
    pub(crate) fn observe(&mut self, at: i64, numbers: &Snapshot) {
        if self.looks.back().is_some_and(|last| *last >= at) {
            return;
        }
        let look = self.first + self.looks.len();
        self.looks.push_back(at);
        for family in self.families.values_mut() {
            family.present = false;
            // Until it is found below.
            family.series.values_mut().for_each(|series| series.note(look, f64::from_bits(STALE)));
        }
        for sample in numbers.iter() {
            if let Some(family) = self.families.get_mut(sample.name.as_str()) {
                family.present = true;
                if family.selectors.iter().any(|selector| admits(selector, |label| sample.label(label))) {
                    family.series.entry(labels(sample)).or_default().note(look, sample.value);
                }
            }
        }
        let (first, looks) = (self.first, &self.looks);
        for family in self.families.values_mut() {
            let oldest = first + looks.partition_point(|look| *look < at - milliseconds(family.window));
            family.series.retain(|_, series| series.drop_before(oldest));
        }
        let longest = self.families.values().map(|family| family.window).max().unwrap_or_default();
        while self.looks.front().is_some_and(|look| *look < at - milliseconds(longest)) {
            self.looks.pop_front();
            self.first += 1;
        }
    }

    /// Whether the last look is recent and found series of this metric, be they the wanted ones or others.
    pub(crate) fn knows(&self, metric: &str, at: i64) -> bool {
        self.is_recent(at) && self.families.get(metric).is_some_and(|family| family.present)
    }

    /// Whether somebody looked lately.
    pub(crate) fn is_recent(&self, at: i64) -> bool {
        self.looks.back().is_some_and(|last| *last >= at - milliseconds(LOOKBACK))
    }

    /// Whether the looks reach from one end of the window to the other.
    pub(crate) fn covers(&self, window: Duration, at: i64) -> bool {
        let start = at - milliseconds(window);
        let first = self.looks.partition_point(|look| *look < start);
        let looks = self.looks.len() - first;
        looks > 1 && {
            let between = seconds(self.looks[self.looks.len() - 1] - self.looks[first]) / (looks - 1) as f64;
            seconds(self.looks[first] - start) < between * NEAR
        }
    }

    /// The last value of each series.
    pub(crate) fn last(&self, selector: &Selector, at: i64) -> Vec<(Labels, f64)> {
        let series = self.series(selector).filter(|_| self.is_recent(at));
        series.filter_map(|(labels, series)| Some((labels.clone(), series.last()?))).collect()
    }

    /// By how much each counter grew per second within the window.
    pub(crate) fn rate(&self, selector: &Selector, window: Duration, at: i64) -> Vec<(Labels, f64)> {
        let start = self.first + self.looks.partition_point(|look| *look < at - milliseconds(window));
        let rate = |series: &Series| self.growth(series, start)?.per_second(window, at);
        self.series(selector).filter_map(|(labels, series)| Some((labels.clone(), rate(series)?))).collect()
    }

    fn series(&self, selector: &Selector) -> impl Iterator<Item = (&Labels, &Series)> {
        let family = self.families.get(selector.metric);
        family.into_iter().flat_map(|family| &family.series).filter(|(labels, _)| {
            let value = |label: &str| labels.iter().find(|(name, _)| name == label).map(|(_, value)| value.as_str());
            admits(selector, value)
        })
    }

    /// What a series did from the look `start` on.
    fn growth(&self, series: &Series, start: usize) -> Option<Growth> {
        let end = self.first + self.looks.len();
        let mut runs = series.runs_from(start).peekable();
        let (mut first, mut last, mut samples, mut resets) = (None, None, 0, 0.0);
        while let Some((since, value)) = runs.next() {
            let since = start.max(*since);
            let until = runs.peek().map_or(end, |(next, _)| *next);
            if value.to_bits() == STALE || since >= until {
                continue;
            }
            resets += last.map(|(_, before)| before).filter(|before| value < before).unwrap_or_default();
            first = first.or(Some((since, *value)));
            last = Some((until - 1, *value));
            samples += until - since;
        }
        let point = |(look, value)| (self.looks[look - self.first], value);
        Some(Growth { first: point(first?), last: point(last?), samples, resets })
    }
}

impl Series {
    /// From this look on it is `value`.
    fn note(&mut self, look: usize, value: f64) {
        if self.0.back().is_some_and(|(since, _)| *since == look) {
            self.0.pop_back();
        }
        if self.0.back().is_none_or(|(_, before)| before.to_bits() != value.to_bits()) {
            self.0.push_back((look, value));
        }
    }

    /// What it was at the look `start`, and since.
    fn runs_from(&self, start: usize) -> impl Iterator<Item = &(usize, f64)> {
        let first = self.0.partition_point(|(since, _)| *since <= start).saturating_sub(1);
        self.0.range(first..)
    }

    /// Forgets what ended before the look `oldest`; whether anything is left.
    fn drop_before(&mut self, oldest: usize) -> bool {
        while self.0.get(1).is_some_and(|(next, _)| *next <= oldest) {
            self.0.pop_front();
        }
        self.0.len() > 1 || self.last().is_some()
    }

    fn last(&self) -> Option<f64> {
        self.0.back().map(|(_, value)| *value).filter(|value| value.to_bits() != STALE)
    }
}

fn admits<'a>(selector: &Selector, value: impl Fn(&str) -> Option<&'a str>) -> bool {
    selector.matchers.iter().all(|matcher| matcher.admits(value(matcher.label).unwrap_or_default()))
}

/// An empty label is none.
fn labels(sample: &Sample) -> Labels {
    let mut labels: Labels = sample.labels.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    labels.sort();
    labels
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
