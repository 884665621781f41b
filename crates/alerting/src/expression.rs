use std::time::Duration;

/// Who knows the numbers of a [`Selector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The server exports them itself; Prometheus finds them under `job="parlant-server"`.
    Server,
    /// Prometheus makes them up about its targets of `job="parlant-server"`.
    Prometheus,
    /// The backup job writes them to a file that node-exporter shows under whatever job it has.
    NodeExporter,
}

/// A condition on one label: one of the patterns matches, or none does. A pattern may start or end with `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label's name.
    pub label: &'static str,
    /// Whether no pattern may match, instead of at least one.
    pub negated: bool,
    /// Values, or their beginning (`5*`) or end (`*/ws`).
    pub patterns: &'static [&'static str],
}

impl Matcher {
    /// Whether the label may have this value. A series without the label has it empty.
    #[must_use]
    pub fn admits(&self, value: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, value)) != self.negated
    }

    /// The only value that the label may have.
    pub(crate) fn value(&self) -> Option<&'static str> {
        match self.patterns {
            [value] if !self.negated && !value.contains('*') => Some(value),
            _ => None,
        }
    }
}

fn matches(pattern: &str, value: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), None) => value.ends_with(end),
        (None, Some(start)) => value.starts_with(start),
        (None, None) => value == pattern,
        (Some(_), Some(_)) => value.contains(pattern.trim_matches('*')),
    }
}

/// Which series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Who knows them.
    pub source: Source,
    /// The metric's name.
    pub metric: &'static str,
    /// All of them hold.
    pub matchers: Vec<Matcher>,
}

impl Selector {
    /// All series of a metric that the server exports.
    #[must_use]
    pub const fn new(metric: &'static str) -> Self {
        Self::of(Source::Server, metric)
    }

    /// All series of a metric that `source` knows.
    #[must_use]
    pub const fn of(source: Source, metric: &'static str) -> Self {
        Self { source, metric, matchers: Vec::new() }
    }

    /// Of these, those whose `label` matches one of the patterns.
    #[must_use]
    pub fn with(self, label: &'static str, patterns: &'static [&'static str]) -> Self {
        self.and(Matcher { label, negated: false, patterns })
    }

    /// Of these, those whose `label` matches none of the patterns.
    #[must_use]
    pub fn without(self, label: &'static str, patterns: &'static [&'static str]) -> Self {
        self.and(Matcher { label, negated: true, patterns })
    }

    fn and(mut self, matcher: Matcher) -> Self {
        self.matchers.push(matcher);
        self
    }

    /// The last value of each.
    #[must_use]
    pub fn last(self) -> Expression {
        Expression::Last(self)
    }

    /// By how much each counter grew per second within `window`, restarts left out.
    #[must_use]
    pub fn rate(self, window: Duration) -> Expression {
        Expression::Rate(self, window)
    }

    /// One value, 1, if there is no such series.
    #[must_use]
    pub fn absent(self) -> Expression {
        Expression::Absent(self)
    }
}

/// How several series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// What they are together.
    Sum,
    /// The largest, for what every replica says about the same thing.
    Max,
}

/// Which values stay. One that is not a number never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Greater than.
    Above,
    /// Equal to.
    Equal,
}

/// What of the left side stays, by what the right side has under the same labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combination {
    /// What the right side has, too.
    And,
    /// Everything, and what only the right side has.
    Or,
    /// What the right side does not have.
    Unless,
}

/// What a rule looks at: some number of values, each with its labels. A rule fires for every value that is left.
///
/// `Display` is `PromQL`. There is no node that could not be evaluated over the series of a few hours.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// The last value of each series.
    Last(Selector),
    /// The growth of each counter per second, within a window that ends now.
    Rate(Selector, Duration),
    /// One value for each combination of these labels.
    Aggregate(Aggregation, &'static [&'static str], Box<Self>),
    /// The quantile (0 to 1) of a histogram, from the rates of its buckets.
    Quantile(f64, Box<Self>),
    /// The seconds since the moments (Unix time) that these are.
    Age(Box<Self>),
    /// The quotient of values with the same labels.
    Ratio(Box<Self>, Box<Self>),
    /// The values for which this holds.
    Compare(Box<Self>, Comparison, f64),
    /// Two sets of values.
    Combine(Box<Self>, Combination, Box<Self>),
    /// One value, 1, if there is no such series.
    Absent(Selector),
    /// One value, 1.
    Always,
}

impl Expression {
    /// The sum of all values.
    #[must_use]
    pub fn sum(self) -> Self {
        self.sum_by(&[])
    }

    /// A sum for each combination of these labels.
    #[must_use]
    pub fn sum_by(self, labels: &'static [&'static str]) -> Self {
        Self::Aggregate(Aggregation::Sum, labels, Box::new(self))
    }

    /// The largest value for each combination of these labels.
    #[must_use]
    pub fn max_by(self, labels: &'static [&'static str]) -> Self {
        Self::Aggregate(Aggregation::Max, labels, Box::new(self))
    }

    /// The quantile `q` (0 to 1) of the histogram whose buckets' rates these are, by `le`.
    #[must_use]
    pub fn quantile(self, q: f64) -> Self {
        Self::Quantile(q, Box::new(self))
    }

    /// The seconds since these moments.
    #[must_use]
    pub fn age(self) -> Self {
        Self::Age(Box::new(self))
    }

    /// This divided by `other`.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self::Ratio(Box::new(self), Box::new(other))
    }

    /// The values greater than `bound`.
    #[must_use]
    pub fn above(self, bound: f64) -> Self {
        Self::Compare(Box::new(self), Comparison::Above, bound)
    }

    /// The values equal to `value`.
    #[must_use]
    pub fn equals(self, value: f64) -> Self {
        Self::Compare(Box::new(self), Comparison::Equal, value)
    }

    /// The values for which `other` has one, too.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::Combine(Box::new(self), Combination::And, Box::new(other))
    }

    /// The values, and those that only `other` has.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::Combine(Box::new(self), Combination::Or, Box::new(other))
    }

    /// The values for which `other` has none.
    #[must_use]
    pub fn unless(self, other: Self) -> Self {
        Self::Combine(Box::new(self), Combination::Unless, Box::new(other))
    }

    /// Every series that this looks at.
    #[must_use]
    pub fn selectors(&self) -> Vec<&Selector> {
        self.windows().into_iter().map(|(selector, _)| selector).collect()
    }

    /// Every series that this looks at, and how far back.
    pub(crate) fn windows(&self) -> Vec<(&Selector, Duration)> {
        match self {
            Self::Last(selector) | Self::Absent(selector) => vec![(selector, Duration::ZERO)],
            Self::Rate(selector, window) => vec![(selector, *window)],
            Self::Aggregate(_, _, of) | Self::Quantile(_, of) | Self::Age(of) | Self::Compare(of, _, _) => of.windows(),
            Self::Ratio(left, right) | Self::Combine(left, _, right) => [left.windows(), right.windows()].concat(),
            Self::Always => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_value_or_its_beginning_or_end() {
        let (wanted, unwanted) =
            (Selector::new("a").with("x", &["5*", "/b"]), Selector::new("a").without("x", &["*/ws"]));
        let admitted = |selector: &Selector, values: &[&'static str]| {
            values.iter().copied().filter(|value| selector.matchers[0].admits(value)).collect::<Vec<_>>()
        };
        assert_eq!(admitted(&wanted, &["503", "5", "45", "/b", "/b/c", ""]), ["503", "5", "/b"]);
        assert_eq!(admitted(&unwanted, &["/api/ws", "/ws", "/ws/api", ""]), ["/ws/api", ""]);
        let anything = Matcher { label: "x", negated: false, patterns: &["*b*"] };
        assert!(anything.admits("abc") && anything.admits("b") && !anything.admits("ac"));
    }
}
