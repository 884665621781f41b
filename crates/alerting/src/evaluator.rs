use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parlant_metrics::Snapshot;

use crate::expression::{Aggregation, Combination, Comparison, Expression, Selector, Source};
use crate::history::{History, Labels};
use crate::promql;
use crate::quantile::quantile;
use crate::rate::seconds;
use crate::rule::Names;
use crate::{Finding, Reading, Rule};

/// Looks at the numbers of a process, and judges them by rules as Prometheus 2 would that scrapes them at the same
/// moments.
///
/// # What nobody can tell
/// An expression that has values fires, whatever else is missing. That it has none is believed
/// ([`Finding::Values`], empty) when everything that it looks at was there to be seen, else it is
/// [`Finding::Unknown`]. Something is missing when
/// - its source has not been observed within the last 5 minutes: `up`, which only Prometheus has, and the backup's
///   numbers, unless somebody [observes](Self::observe) them;
/// - the source has no series of the metric at all, such as those of an engine that is not configured. Whether it
///   has one with the wanted labels is no matter: a service without errors need not have counted to 0;
/// - a rate's window goes back further than anybody looked: after a start, or a gap.
///
/// It suffices that one side of `and`, or the left side of `unless`, is known to have no values. And what
/// [`Expression::Absent`] asks for is missing or not, as long as the source is there.
///
/// # Memory
/// Only series that some rule looks at are kept, each as long as the longest window over its metric: 16 bytes for
/// each change from one look to the next. A counter that changes at every look, every 30 s, takes up to 16 KiB for
/// the 6 hours of the burn rates; one that stands still, its labels. The bench `evaluate` measures 7 MiB for a server
/// whose 36 routes are busy with every status, and next to nothing for a quiet one.
#[derive(Debug)]
pub struct Evaluator {
    rules: Vec<Rule>,
    histories: BTreeMap<Source, History>,
    /// The latest look, in milliseconds since 1970.
    latest: i64,
}

/// What an expression has.
#[derive(Debug, Default)]
struct Answer {
    values: Vec<(Labels, f64)>,
    /// Whether there are certainly no others.
    complete: bool,
}

impl Evaluator {
    /// Without any history.
    #[must_use]
    pub fn new(rules: &[Rule]) -> Self {
        let mut histories = BTreeMap::<_, History>::new();
        for rule in rules {
            let named = rule.names.as_ref().map(|names| (&names.selector, Duration::ZERO));
            for (selector, window) in rule.expression.windows().into_iter().chain(named) {
                histories.entry(selector.source).or_default().keep(selector, window);
            }
        }
        Self { rules: rules.to_vec(), histories, latest: i64::MIN }
    }

    /// Takes all that `source` says at this moment; a series that it no longer has is gone. Rules believe that the
    /// numbers of [`Source::Prometheus`] are about the server.
    ///
    /// When time has gone backwards, the history of every source is forgotten.
    pub fn observe(&mut self, at: DateTime<Utc>, source: Source, numbers: &Snapshot) {
        let at = at.timestamp_millis();
        if at < self.latest {
            self.histories.values_mut().for_each(History::forget);
        }
        self.latest = at;
        if let Some(history) = self.histories.get_mut(&source) {
            history.observe(at, numbers);
        }
    }

    /// What each rule's expression has at this moment, which is not before the last look; in the order of the rules.
    #[must_use]
    pub fn findings(&self, at: DateTime<Utc>) -> Vec<Finding> {
        let at = at.timestamp_millis().max(self.latest);
        self.rules.iter().map(|rule| self.finding(rule, at)).collect()
    }

    fn finding(&self, rule: &Rule, at: i64) -> Finding {
        let answer = self.evaluate(&rule.expression, at);
        if answer.values.is_empty() && !answer.complete {
            return Finding::Unknown;
        }
        let readings = answer.values.into_iter().map(|(labels, value)| {
            let names = rule.names.as_ref().map(|names| self.names(names, &labels, at)).unwrap_or_default();
            Reading { labels, value, names }
        });
        Finding::Values(readings.collect())
    }

    /// What is to be named beside a reading with these labels.
    fn names(&self, names: &Names, labels: &Labels, at: i64) -> Vec<String> {
        let last = self.histories[&names.selector.source].last(&names.selector, at);
        let found = last.into_iter().filter(|(other, value)| {
            *value < names.below && label(other, promql::INSTANCE) == label(labels, promql::INSTANCE)
        });
        found.filter_map(|(labels, _)| label(&labels, names.label).map(str::to_owned)).collect()
    }

    fn evaluate(&self, expression: &Expression, at: i64) -> Answer {
        let history = |selector: &Selector| &self.histories[&selector.source];
        match expression {
            Expression::Last(selector) => Answer {
                values: history(selector).last(selector, at),
                complete: history(selector).knows(selector.metric, at),
            },
            Expression::Rate(selector, window) => Answer {
                values: history(selector).rate(selector, *window, at),
                complete: history(selector).knows(selector.metric, at) && history(selector).covers(*window, at),
            },
            Expression::Absent(selector) => {
                let complete = history(selector).is_recent(at);
                let is_absent = complete && history(selector).last(selector, at).is_empty();
                Answer {
                    values: is_absent.then(|| (promql::absent_labels(selector), 1.0)).into_iter().collect(),
                    complete,
                }
            }
            Expression::Always => Answer { values: vec![(Labels::new(), 1.0)], complete: true },
            Expression::Aggregate(with, by, of) => self.evaluate(of, at).map(|values| aggregate(*with, by, values)),
            Expression::Quantile(q, of) => self.evaluate(of, at).map(|buckets| quantiles(*q, buckets)),
            Expression::Age(of) => self
                .evaluate(of, at)
                .map(|values| values.into_iter().map(|(labels, moment)| (labels, seconds(at) - moment)).collect()),
            Expression::Compare(of, comparison, bound) => self.evaluate(of, at).map(|mut values| {
                values.retain(|(_, value)| match comparison {
                    Comparison::Above => value > bound,
                    #[expect(clippy::float_cmp, reason = "as PromQL does")]
                    Comparison::Equal => value == bound,
                });
                values
            }),
            Expression::Ratio(left, right) => {
                let (left, right) = (self.evaluate(left, at), self.evaluate(right, at));
                let quotient = |(labels, value)| right.of(&labels).map(|other| (labels, value / other));
                Answer {
                    values: left.values.into_iter().filter_map(quotient).collect(),
                    complete: left.complete && right.complete,
                }
            }
            Expression::Combine(left, how, right) => self.evaluate(left, at).combine(*how, self.evaluate(right, at)),
        }
    }
}

impl Answer {
    fn map(self, with: impl FnOnce(Vec<(Labels, f64)>) -> Vec<(Labels, f64)>) -> Self {
        Self { values: with(self.values), ..self }
    }

    /// The value with these labels.
    fn of(&self, labels: &Labels) -> Option<f64> {
        self.values.iter().find(|(other, _)| other == labels).map(|(_, value)| *value)
    }

    fn has_none(&self) -> bool {
        self.values.is_empty() && self.complete
    }

    fn combine(mut self, how: Combination, mut right: Self) -> Self {
        let both = self.complete && right.complete;
        match how {
            Combination::And => {
                let complete = both || self.has_none() || right.has_none();
                self.values.retain(|(labels, _)| right.of(labels).is_some());
                Self { complete, ..self }
            }
            Combination::Unless => {
                let complete = both || self.has_none();
                self.values.retain(|(labels, _)| right.of(labels).is_none());
                Self { complete, ..self }
            }
            Combination::Or => {
                right.values.retain(|(labels, _)| self.of(labels).is_none());
                self.values.append(&mut right.values);
                Self { complete: both, ..self }
            }
        }
    }
}

fn label<'a>(labels: &'a Labels, name: &str) -> Option<&'a str> {
    labels.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn aggregate(with: Aggregation, by: &[&str], values: Vec<(Labels, f64)>) -> Vec<(Labels, f64)> {
    let mut groups = BTreeMap::<Labels, f64>::new();
    for (mut labels, value) in values {
        labels.retain(|(name, _)| by.contains(&name.as_str()));
        let together = |group: &mut f64| match with {
            Aggregation::Sum => *group += value,
            // A number wins over one that is none.
            Aggregation::Max => *group = group.max(value),
        };
        groups.entry(labels).and_modify(together).or_insert(value);
    }
    groups.into_iter().collect()
}

fn quantiles(q: f64, values: Vec<(Labels, f64)>) -> Vec<(Labels, f64)> {
    let mut histograms = BTreeMap::<Labels, Vec<(f64, f64)>>::new();
    for (mut labels, count) in values {
        if let Some(bound) = label(&labels, "le").and_then(|bound| bound.parse().ok()) {
            labels.retain(|(name, _)| name != "le");
            histograms.entry(labels).or_default().push((bound, count));
        }
    }
    histograms.into_iter().map(|(labels, buckets)| (labels, quantile(q, buckets))).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::Severity;

    const MINUTES: Duration = Duration::from_mins(5);

    fn rule(expression: Expression) -> Rule {
        let (severity, hold) = (Severity::Warning, Duration::ZERO);
        Rule { name: "A", severity, hold, expression, summary: "", description: "", names: None }
    }

    /// A server that is looked at every 30 s, by one rule.
    struct Watched {
        evaluator: Evaluator,
        now: DateTime<Utc>,
    }

    impl Watched {
        fn by(expression: Expression) -> Self {
            Self { evaluator: Evaluator::new(&[rule(expression)]), now: DateTime::UNIX_EPOCH + TimeDelta::days(20_000) }
        }

        fn says(&mut self, page: &str) -> Finding {
            self.now += TimeDelta::seconds(30);
            self.evaluator.observe(self.now, Source::Server, &Snapshot::parse(page));
            self.finding()
        }

        fn finding(&self) -> Finding {
            self.evaluator.findings(self.now).remove(0)
        }

        /// The values while a counter grows by this much each time.
        fn counts(&mut self, growth: impl IntoIterator<Item = u32>) -> Vec<f64> {
            let mut total = 0;
            let mut last = Finding::Unknown;
            for more in growth {
                total += more;
                last = self.says(&format!("a_total {total}"));
            }
            values(&last)
        }
    }

    fn values(finding: &Finding) -> Vec<f64> {
        match finding {
            Finding::Unknown => Vec::new(),
            Finding::Values(readings) => readings.iter().map(|reading| reading.value).collect(),
        }
    }

    fn nothing() -> Finding {
        Finding::Values(Vec::new())
    }

    fn last(metric: &'static str) -> Expression {
        Selector::new(metric).last()
    }

    #[test]
    fn the_last_value_of_a_series_counts_while_it_is_there() {
        let mut watched = Watched::by(Selector::new("a").with("x", &["1*"]).last());
        assert_eq!(watched.finding(), Finding::Unknown);
        let found = watched.says("a{y=\"2\",x=\"1\"} 5\na{x=\"12\",z=\"\"} NaN\na{x=\"2\"} 7");
        let Finding::Values(readings) = &found else { panic!("{found:?}") };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(readings[0].labels, [pair("x", "1"), pair("y", "2")]);
        assert_eq!(readings[1].labels, [pair("x", "12")]);
        assert_eq!(format!("{:?}", values(&found)), "[5.0, NaN]");
        assert_eq!(values(&watched.says("a{y=\"2\",x=\"1\"} 6")), [6.0]);
        assert_eq!(watched.says("a{x=\"2\"} 7"), nothing());
        assert_eq!(watched.says("b 1"), Finding::Unknown, "the metric is gone");
        assert_eq!(values(&watched.says("a{x=\"1\"} 8")), [8.0]);
        watched.now += TimeDelta::minutes(5);
        assert_eq!(values(&watched.finding()), [8.0]);
        watched.now += TimeDelta::milliseconds(1);
        assert_eq!(watched.finding(), Finding::Unknown, "nobody looks any more");
    }

    #[test]
    fn a_rate_survives_restarts_and_gaps() {
        let mut watched = Watched::by(Selector::new("a_total").rate(MINUTES));
        assert_eq!(watched.counts([30; 30]), [1.0]);
        // A restart, after which it is at 20 soon.
        assert_eq!(values(&watched.says("a_total 20")), [(270.0 + 20.0) / 300.0]);
        watched.says("b 1");
        assert_eq!(values(&watched.says("a_total 80")), [(210.0 + 20.0 + 60.0) / 300.0]);
    }

    #[test]
    fn that_a_rate_is_low_is_believed_once_the_window_was_seen() {
        let rate = || Selector::new("a_total").rate(MINUTES);
        let mut watched = Watched::by(rate().sum().above(1.0));
        let mut found: Vec<_> = (0..12).map(|_| watched.says("a_total 7")).collect();
        found.dedup();
        assert_eq!(found, [Finding::Unknown, nothing()]);
        watched.now += TimeDelta::minutes(10);
        assert_eq!(watched.says("a_total 7"), Finding::Unknown, "nobody looked for a while");
        // That it is high is seen at once.
        let mut watched = Watched::by(rate().sum().above(1.0));
        watched.says("a_total 0");
        assert_eq!(values(&watched.says("a_total 3000")), [10.0]);
    }

    #[test]
    fn time_that_goes_backwards_starts_a_new_history() {
        let mut watched = Watched::by(Selector::new("a_total").rate(MINUTES));
        watched.counts([30; 30]);
        watched.now -= TimeDelta::hours(1);
        assert_eq!(watched.says("a_total 9"), Finding::Unknown);
        assert_eq!(values(&watched.says("a_total 39")).len(), 1);
    }

    #[test]
    fn one_side_may_be_enough_to_know() {
        let (high, low) = (|| last("a").above(0.0), || last("a").above(9.0));
        let lost = || last("lost");
        let one = |found: Finding| assert_eq!(values(&found), [1.0]);
        let look = |expression: Expression| Watched::by(expression).says("a 1");
        assert_eq!(look(low().and(lost())), nothing());
        assert_eq!(look(lost().and(low())), nothing());
        assert_eq!(look(high().and(lost())), Finding::Unknown);
        assert_eq!(look(low().unless(lost())), nothing());
        assert_eq!(look(lost().unless(low())), Finding::Unknown);
        assert_eq!(look(low().or(lost())), Finding::Unknown);
        one(look(lost().or(high())));
        one(look(high().unless(low())));
        assert_eq!(look(high().unless(high())), nothing());
        one(look(Expression::Always));
        one(look(Selector::new("lost").absent()));
        assert_eq!(look(Selector::new("a").absent()), nothing());
        assert_eq!(look(Selector::of(Source::Prometheus, "up").absent()), Finding::Unknown);
    }

    #[test]
    fn values_are_matched_by_all_their_labels() {
        let page = "a{x=\"1\"} 6\na{x=\"2\"} 8\nb{x=\"1\"} 3\nb{x=\"3\"} 0\nb{x=\"4\"} 5\nz 0";
        let look = |expression: Expression| values(&Watched::by(expression).says(page));
        assert_eq!(look(last("a").over(last("b"))), [2.0]);
        assert_eq!(look(last("a").and(last("b"))), [6.0]);
        assert_eq!(look(last("a").unless(last("b"))), [8.0]);
        assert_eq!(look(last("a").or(last("b"))), [6.0, 8.0, 0.0, 5.0]);
        assert_eq!(look(last("a").sum()), [14.0]);
        assert_eq!(look(last("b").max_by(&["x", "y"])), [3.0, 0.0, 5.0]);
        assert!(look(last("z").over(last("z")).above(0.5)).is_empty(), "0 / 0 is no number");
        assert_eq!(look(last("b").sum().over(last("z")).above(0.5)), [f64::INFINITY]);
    }

    #[test]
    fn what_is_absent_has_the_labels_that_it_would_have() {
        let up = || Selector::of(Source::Prometheus, "up").with("x", &["1"]).without("y", &["2"]).with("z", &["3*"]);
        let mut evaluator = Evaluator::new(&[rule(up().absent())]);
        let now = DateTime::UNIX_EPOCH;
        evaluator.observe(now, Source::Prometheus, &Snapshot::default());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let labels = vec![pair("job", "parlant-server"), pair("x", "1")];
        let reading = Reading { labels, value: 1.0, names: Vec::new() };
        assert_eq!(evaluator.findings(now), [Finding::Values(vec![reading])]);
    }

    #[test]
    fn an_age_is_counted_from_the_moment_of_the_question() {
        let mut watched = Watched::by(last("a").age());
        let then = watched.now.timestamp();
        assert_eq!(values(&watched.says(&format!("a {then}"))), [30.0]);
        watched.now += TimeDelta::milliseconds(500);
        assert_eq!(values(&watched.finding()), [30.5]);
    }

    #[test]
    fn a_description_names_what_is_below_its_bound() {
        let names = Names { selector: Selector::new("part").without("part", &["x"]), below: 2.0, label: "part" };
        let rule = Rule { names: Some(names), description: "{x}: {names}.", ..rule(last("whole").equals(0.0)) };
        let mut evaluator = Evaluator::new(std::slice::from_ref(&rule));
        let page = "whole{x=\"y\"} 0\npart{part=\"b\"} 1\npart{part=\"a\"} 0\npart{part=\"c\"} 2\npart{part=\"x\"} 0\n\
                    part{part=\"d\",instance=\"other\"} 0";
        evaluator.observe(DateTime::UNIX_EPOCH, Source::Server, &Snapshot::parse(page));
        let found = evaluator.findings(DateTime::UNIX_EPOCH);
        let [Finding::Values(readings)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(rule.describe(&readings[0]), "y: a, b.");
    }
}
