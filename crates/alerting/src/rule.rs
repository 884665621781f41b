use std::fmt::Write as _;
use std::time::Duration;

use crate::expression::{Expression, Selector};
use crate::promql::{INSTANCE, duration};
use crate::{Reading, Severity, humanize};

/// Where the runbooks are published. `{page}` stands for the page's name.
pub const RUNBOOKS: &str = "https://docs.sim.com/runbooks/{page}";

/// The `service` label of every alert.
pub(crate) const SERVICE: &str = "parlant-server";

/// When somebody is told what.
///
/// Two rules may share a name: they are two ways to see the same trouble, with one runbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The alert's name, in `CamelCase`.
    pub name: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// How long the expression has to have values before the alert fires for them.
    pub hold: Duration,
    /// What is looked at.
    pub expression: Expression,
    /// One line: what is wrong.
    pub summary: &'static str,
    /// What is known about it. `{count}`, `{percent}`, `{duration}` and `{bytes}` stand for the expression's value in that
    /// form, `{names}` for those that [`names`](Self::names) finds, any other `{name}` for that label.
    pub description: &'static str,
    /// Whom the description names besides.
    pub names: Option<Names>,
}

/// The series below a bound, of the same instance as the alert, each named by one of its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    /// Of these.
    pub selector: Selector,
    /// Those whose last value is less.
    pub below: f64,
    /// What names them.
    pub label: &'static str,
}

impl Rule {
    /// The name of the runbook's page: `parlant-service-down` for `ParlantServiceDown`.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        for character in self.name.chars() {
            if character.is_uppercase() && !page.is_empty() {
                page.push('-');
            }
            page.extend(character.to_lowercase());
        }
        page
    }

    /// The description for one value of the expression, as Prometheus would print it.
    #[must_use]
    pub fn describe(&self, reading: &Reading) -> String {
        self.fill(|name| match name {
            "count" => format!("{:.0}", reading.value),
            "percent" => humanize::percentage(reading.value),
            "duration" => humanize::duration(reading.value),
            "bytes" => humanize::binary(reading.value) + "B",
            "names" => reading.names.join(", "),
            label => {
                let known = reading.labels.iter().find(|(known, _)| known == label);
                known.map(|(_, value)| value.clone()).unwrap_or_default()
            }
        })
    }

    /// The description as a template of Prometheus'.
    fn template(&self) -> String {
        self.fill(|name| match name {
            "count" => r#"{{ $value | printf "%.0f" }}"#.to_owned(),
            "percent" => "{{ $value | humanizePercentage }}".to_owned(),
            "duration" => "{{ $value | humanizeDuration }}".to_owned(),
            "bytes" => "{{ $value | humanize1024 }}B".to_owned(),
            "names" => self.names.as_ref().map(Names::template).unwrap_or_default(),
            label => format!("{{{{ $labels.{label} }}}}"),
        })
    }

    /// The description with each `{name}` replaced.
    fn fill(&self, shown: impl Fn(&str) -> String) -> String {
        let mut filled = String::new();
        let mut rest = self.description;
        while let Some((text, (name, tail))) =
            rest.split_once('{').and_then(|(text, tail)| Some((text, tail.split_once('}')?)))
        {
            filled.extend([text, &shown(name)]);
            rest = tail;
        }
        filled + rest
    }
}

impl Names {
    fn template(&self) -> String {
        let (below, label) = (self.below, self.label);
        let series = self.selector.clone().with(INSTANCE, &["%s"]).to_string();
        format!(
            "{{{{ range $index, $found := printf `{series} < {below}` $labels.instance | query | sortByLabel `{label}` }}}}\
             {{{{ if $index }}}}, {{{{ end }}}}{{{{ $found.Labels.{label} }}}}{{{{ end }}}}"
        )
    }
}

/// The rules as a file for Prometheus. `runbooks` is where the pages are, as [`RUNBOOKS`].
#[must_use]
pub fn rule_file(rules: &[Rule], runbooks: &str) -> String {
    // JSON's strings are YAML's, too.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut file = String::from(
        "# The alert rules of the Sim-Parlant Integration Bridge, written by `parlant-ops alerts render`.\n\
        groups:\n  - name: parlant.rules\n    interval: 30s\n    rules:\n",
    );
    for rule in rules {
        let expression = rule.expression.to_string().replace('\n', "\n          ");
        let hold = if rule.hold.is_zero() { String::new() } else { format!("        for: {}\n", duration(rule.hold)) };
        let _ = write!(
            file,
            "      - alert: {name}\n        expr: |-\n          {expression}\n{hold}        \
            labels:\n          severity: {severity}\n          service: {SERVICE}\n        \
            annotations:\n          summary: {summary}\n          description: {description}\n          \
            runbook_url: {runbook}\n",
            name = rule.name,
            severity = rule.severity,
            summary = quoted(rule.summary),
            description = quoted(&rule.template()),
            runbook = quoted(&runbooks.replace("{page}", &rule.page())),
        );
    }
    file
}
