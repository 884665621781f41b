//! Every way to break a rule in one place.

use std::time::Duration;

use parlant_alerting::{
    Aggregation, Combination, Comparison, Expression, Matcher, Names, Rule, Selector, Severity, Source,
};

/// A rule that is wrong in one place.
pub(crate) struct Mutant {
    pub(crate) what: String,
    pub(crate) rule: Rule,
    /// What to replace in the rendered rule by what, for operators that the tree does not have.
    pub(crate) text: (String, String),
}

/// How often the tests evaluate the rules.
const STEP: Duration = Duration::from_secs(30);

pub(crate) fn mutants(rule: &Rule) -> Vec<Mutant> {
    let mut found = Vec::new();
    let mut add = |what: String, rule: Rule| found.push(Mutant { what, rule, text: Default::default() });
    for expression in expressions(&rule.expression) {
        add(expression.to_string().replace('\n', " "), Rule { expression, ..rule.clone() });
    }
    let holds = [Duration::ZERO, rule.hold.saturating_sub(STEP), rule.hold + STEP];
    for hold in holds.into_iter().filter(|hold| *hold != rule.hold) {
        add(format!("for {hold:?}"), Rule { hold, ..rule.clone() });
    }
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        if severity != rule.severity {
            add(format!("{severity}"), Rule { severity, ..rule.clone() });
        }
    }
    for form in ["{count}", "{percent}", "{duration}", "{bytes}", "{names}"] {
        if rule.description.contains(form) {
            let description = rule.description.replace(form, "{instance}").leak();
            add(format!("no {form}"), Rule { description, ..rule.clone() });
        }
    }
    if let Some(names) = &rule.names {
        for (below, label) in [(names.below - 1.0, names.label), (names.below + 1.0, names.label), (names.below, "job")]
        {
            let names = Names { below, label, ..names.clone() };
            add(format!("names {label} below {below}"), Rule { names: Some(names), ..rule.clone() });
        }
        for selector in selectors(&names.selector) {
            add(
                format!("names of {selector}"),
                Rule { names: Some(Names { selector, ..names.clone() }), ..rule.clone() },
            );
        }
    }
    for comparison in comparisons(&rule.expression) {
        let right = comparison.to_string();
        let right = right.rsplit('\n').next().unwrap().to_owned();
        for (operator, wrong) in [(" > ", " >= "), (" > ", " < "), (" > ", " != "), (" == ", " != "), (" == ", " >= ")]
        {
            // Nothing that is compared with 0 is ever negative; no rate over 6 hours is exactly 0.1 in floating point.
            let same = right.ends_with("> 0") && wrong == " != " || right.ends_with("[6h])) > 0.1") && wrong == " >= ";
            if right.contains(operator) && !same {
                let text = (right.clone(), right.replacen(operator, wrong, 1));
                found.push(Mutant { what: format!("{wrong} in {right}"), rule: rule.clone(), text });
            }
        }
    }
    found
}

fn comparisons(expression: &Expression) -> Vec<&Expression> {
    match expression {
        Expression::Compare(..) => vec![expression],
        Expression::Combine(left, _, right) => [comparisons(left), comparisons(right)].concat(),
        _ => Vec::new(),
    }
}

fn expressions(expression: &Expression) -> Vec<Expression> {
    use Expression::{Absent, Age, Aggregate, Always, Combine, Compare, Last, Quantile, Rate, Ratio};
    let inside = |of: &Expression, wrap: &dyn Fn(Box<Expression>) -> Expression| -> Vec<Expression> {
        expressions(of).into_iter().map(|mutant| wrap(Box::new(mutant))).collect()
    };
    match expression {
        Last(selector) => selectors(selector).into_iter().map(Last).collect(),
        Absent(selector) => selectors(selector).into_iter().map(Absent).collect(),
        Rate(selector, window) => {
            let broken = selectors(selector).into_iter().map(|selector| Rate(selector, *window));
            broken.chain([*window * 2, *window / 2].map(|window| Rate(selector.clone(), window))).collect()
        }
        Aggregate(with, labels, of) => {
            let mut found = inside(of, &|of| Aggregate(*with, labels, of));
            let other = if *with == Aggregation::Sum { Aggregation::Max } else { Aggregation::Sum };
            found.push(Aggregate(other, labels, of.clone()));
            if !labels.is_empty() {
                found.push(Aggregate(*with, &[], of.clone()));
            }
            found.push((**of).clone());
            found
        }
        Quantile(q, of) => {
            let mut found = inside(of, &|of| Quantile(*q, of));
            found.extend([0.9, 0.99].map(|q| Quantile(q, of.clone())));
            found
        }
        Age(of) => [inside(of, &Age), vec![(**of).clone()]].concat(),
        Ratio(left, right) => {
            let mut found = inside(left, &|left| Ratio(left, right.clone()));
            found.extend(inside(right, &|right| Ratio(left.clone(), right)));
            found.extend([Ratio(right.clone(), left.clone()), (**left).clone()]);
            found
        }
        Compare(of, comparison, bound) => {
            let mut found = inside(of, &|of| Compare(of, *comparison, *bound));
            // Of numbers that are never negative, the sum is above 0 exactly when the largest is.
            found.retain(|mutant| {
                let Compare(mutant, Comparison::Above, 0.0) = mutant else { return true };
                !matches!((&**mutant, &**of), (Aggregate(a, by, x), Aggregate(b, same, y)) if a != b && by == same && x == y && is_rate(of))
            });
            let other = if *comparison == Comparison::Above { Comparison::Equal } else { Comparison::Above };
            found.push(Compare(of.clone(), other, *bound));
            let near = match (*bound, &**of) {
                (0.0, Last(_) | Aggregate(_, _, _)) => [-0.001, if is_rate(of) { 0.01 } else { 1.0 }],
                _ => [bound * 0.95, bound * 1.05],
            };
            found.extend(near.map(|bound| Compare(of.clone(), *comparison, bound)));
            found
        }
        Combine(left, how, right) => {
            let mut found = inside(left, &|left| Combine(left, *how, right.clone()));
            found.extend(inside(right, &|right| Combine(left.clone(), *how, right)));
            let others =
                [Combination::And, Combination::Or, Combination::Unless].into_iter().filter(|other| other != how);
            found.extend(others.map(|how| Combine(left.clone(), how, right.clone())));
            found.extend([(**left).clone(), (**right).clone()]);
            found
        }
        Always => vec![Always.above(1.0)],
    }
}

fn is_rate(expression: &Expression) -> bool {
    match expression {
        Expression::Rate(..) => true,
        Expression::Aggregate(_, _, of) => is_rate(of),
        _ => false,
    }
}

fn selectors(selector: &Selector) -> Vec<Selector> {
    let mut found = Vec::new();
    let source = if selector.source == Source::NodeExporter { Source::Server } else { Source::NodeExporter };
    found.push(Selector { source, ..selector.clone() });
    found.push(Selector { metric: leak(format!("{}_renamed", selector.metric)), ..selector.clone() });
    for index in 0..selector.matchers.len() {
        let mut without = selector.clone();
        let matcher = without.matchers.remove(index);
        for broken in matchers(&matcher) {
            let mut with = without.clone();
            with.matchers.insert(index, broken);
            found.push(with);
        }
        found.push(without);
    }
    found
}

fn matchers(matcher: &Matcher) -> Vec<Matcher> {
    let mut found = vec![Matcher { negated: !matcher.negated, ..matcher.clone() }];
    for (index, pattern) in matcher.patterns.iter().enumerate() {
        let mut others = matcher.patterns.to_vec();
        others.remove(index);
        if !others.is_empty() {
            found.push(Matcher { patterns: others.clone().leak(), ..matcher.clone() });
        }
        // Without its star it matches less.
        if pattern.contains('*') {
            others.insert(index, leak(pattern.replace('*', "")));
            found.push(Matcher { patterns: others.leak(), ..matcher.clone() });
        }
    }
    found
}

fn leak(text: String) -> &'static str {
    text.leak()
}
