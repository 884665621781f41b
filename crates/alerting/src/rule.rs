use std::fmt::Write as _;
use std::time::Duration;

use crate::Severity;
use crate::expression::Expression;
use crate::promql::duration;

/// Where the runbooks are published. `{page}` stands for the page's name.
pub const RUNBOOKS: &str = "https://docs.sim.com/runbooks/{page}";

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
    /// form, any other `{name}` for that label.
    pub description: &'static str,
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

    /// The description as a template of Prometheus'.
    fn template(&self) -> String {
        let mut template = String::new();
        let mut rest = self.description;
        while let Some((text, (name, tail))) =
            rest.split_once('{').and_then(|(text, tail)| Some((text, tail.split_once('}')?)))
        {
            let shown = match name {
                "count" => r#"{{ $value | printf "%.0f" }}"#.to_owned(),
                "percent" => "{{ $value | humanizePercentage }}".to_owned(),
                "duration" => "{{ $value | humanizeDuration }}".to_owned(),
                "bytes" => "{{ $value | humanize1024 }}B".to_owned(),
                label => format!("{{{{ $labels.{label} }}}}"),
            };
            template.extend([text, &shown]);
            rest = tail;
        }
        template + rest
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
            labels:\n          severity: {severity}\n          service: parlant-server\n        \
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
