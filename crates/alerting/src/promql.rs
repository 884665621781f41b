//! Expressions as `PromQL`.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::expression::{Aggregation, Combination, Comparison, Expression, Matcher, Selector, Source};
use crate::history::Labels;

/// The label by which Prometheus tells the servers from each other.
pub(crate) const INSTANCE: &str = "instance";

/// The label by which Prometheus knows the server's targets.
const JOB: Matcher = Matcher { label: "job", negated: false, patterns: &["parlant-server"] };

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(selector) => write!(f, "{selector}"),
            Self::Rate(selector, window) => write!(f, "rate({selector}[{}])", duration(*window)),
            Self::Aggregate(with, labels, of) => {
                let with = match with {
                    Aggregation::Sum => "sum",
                    Aggregation::Max => "max",
                };
                let by = if labels.is_empty() { String::new() } else { format!(" by ({}) ", labels.join(", ")) };
                write!(f, "{with}{by}({of})")
            }
            Self::Quantile(q, of) => write!(f, "histogram_quantile({q}, {of})"),
            Self::Age(of) => write!(f, "time() - {}", within(self, of)),
            Self::Ratio(left, right) => write!(f, "{}\n/ {}", within(self, left), within(self, right)),
            Self::Compare(of, comparison, bound) => {
                let comparison = match comparison {
                    Comparison::Above => ">",
                    Comparison::Equal => "==",
                };
                write!(f, "{} {comparison} {bound}", within(self, of))
            }
            Self::Combine(left, combination, right) => {
                let combination = match combination {
                    Combination::And => "and",
                    Combination::Or => "or",
                    Combination::Unless => "unless",
                };
                write!(f, "{}\n{combination}\n{}", within(self, left), within(self, right))
            }
            Self::Absent(selector) => write!(f, "absent({selector})"),
            Self::Always => write!(f, "vector(1)"),
        }
    }
}

/// How tightly `PromQL` binds the outermost operator. Only a left side may be as loose as what it stands in.
fn tightness(expression: &Expression) -> u8 {
    match expression {
        Expression::Combine(_, Combination::Or, _) => 0,
        Expression::Combine(..) => 1,
        Expression::Compare(..) => 2,
        Expression::Age(_) | Expression::Ratio(..) => 3,
        _ => 4,
    }
}

/// `inner` as an operand of `outer`, in parentheses where `PromQL` needs or a reader wants them.
fn within(outer: &Expression, inner: &Expression) -> String {
    let chained = matches!((outer, inner), (Expression::Combine(_, a, _), Expression::Combine(_, b, _)) if a == b);
    if tightness(inner) > tightness(outer) || chained { inner.to_string() } else { format!("({inner})") }
}

impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let matchers: Vec<_> = matchers(self).map(Matcher::to_string).collect();
        f.write_str(self.metric)?;
        if matchers.is_empty() { Ok(()) } else { write!(f, "{{{}}}", matchers.join(",")) }
    }
}

/// What Prometheus selects by, besides the metric's name.
fn matchers(selector: &Selector) -> impl Iterator<Item = &Matcher> {
    let job = (selector.source != Source::NodeExporter).then_some(&JOB);
    job.into_iter().chain(&selector.matchers)
}

/// What is known of the series that there is none of: the labels that could have one value only.
pub(crate) fn absent_labels(selector: &Selector) -> Labels {
    let label = |matcher: &Matcher| Some((matcher.label.to_owned(), matcher.value()?.to_owned()));
    let mut labels: Labels = matchers(selector).filter_map(label).collect();
    labels.sort();
    labels
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let one = matches!(self.patterns, [value] if !value.contains('*'));
        let operator = match (self.negated, one) {
            (false, true) => "=",
            (true, true) => "!=",
            (false, false) => "=~",
            (true, false) => "!~",
        };
        write!(f, r#"{}{operator}"{}""#, self.label, self.patterns.join("|").replace('*', ".*"))
    }
}

/// In Prometheus' units, the largest that divides it.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds % 3600, seconds % 60) {
        (0, _) if seconds > 0 => format!("{}h", seconds / 3600),
        (_, 0) if seconds > 0 => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors() -> Expression {
        let requests = Selector::new("requests_total").without("endpoint", &["/health", "*/ws"]);
        requests.with("status", &["5*"]).rate(Duration::from_mins(5)).sum()
    }

    #[test]
    fn operands_are_in_parentheses_where_promql_binds_otherwise() {
        let (a, b, c) = (|| Selector::new("a").last(), || Selector::new("b").last(), || Selector::new("c").last());
        let plain =
            |expression: Expression| expression.to_string().replace(r#"{job="parlant-server"}"#, "").replace('\n', " ");
        assert_eq!(plain(a().over(b()).above(0.5)), "a / b > 0.5");
        assert_eq!(plain(a().over(b().over(c()))), "a / (b / c)");
        assert_eq!(plain(a().above(1.0).over(b())), "(a > 1) / b");
        assert_eq!(plain(a().age().above(60.0)), "time() - a > 60");
        assert_eq!(plain(a().and(b()).and(c())), "a and b and c");
        assert_eq!(plain(a().and(b()).or(c())), "a and b or c");
        assert_eq!(plain(a().or(b()).and(c())), "(a or b) and c");
        assert_eq!(plain(a().and(b()).unless(c())), "(a and b) unless c");
    }

    #[test]
    fn selectors_aggregations_and_windows_read_like_this() {
        assert_eq!(
            errors().to_string(),
            r#"sum(rate(requests_total{job="parlant-server",endpoint!~"/health|.*/ws",status=~"5.*"}[5m]))"#
        );
        let buckets = Selector::new("x_bucket").rate(Duration::from_hours(2)).sum_by(&["le", "query"]);
        assert_eq!(
            buckets.quantile(0.95).to_string(),
            r#"histogram_quantile(0.95, sum by (le, query) (rate(x_bucket{job="parlant-server"}[2h])))"#
        );
        let file = Selector::of(Source::NodeExporter, "file").without("mode", &["test"]);
        assert_eq!(file.absent().to_string(), r#"absent(file{mode!="test"})"#);
        assert_eq!(Selector::of(Source::NodeExporter, "file").last().to_string(), "file");
        assert_eq!(Selector::of(Source::Prometheus, "up").last().to_string(), r#"up{job="parlant-server"}"#);
        assert_eq!(duration(Duration::from_secs(90)), "90s");
    }
}
