/// One number of a [`Snapshot`].
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// As Prometheus knows it; those of a histogram end in `_bucket` (with the label `le`), `_sum` and `_count`.
    pub name: String,
    /// Names and values, as they stand.
    pub labels: Vec<(String, String)>,
    /// What was measured or counted.
    pub value: f64,
}

impl Sample {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The numbers of one scrape.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    samples: Vec<Sample>,
}

impl Snapshot {
    /// Reads Prometheus' text format. A line that is not of it is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { samples: lines.filter_map(sample).collect() }
    }

    /// Every sample, those of one name side by side.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The samples of one name.
    pub fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The sum of the samples of one name that have all the labels; none when there is no such sample.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.samples(name)
            .filter(|sample| labels.iter().all(|(label, value)| sample.label(label) == Some(value)))
            .map(|sample| sample.value)
            .reduce(|sum, value| sum + value)
    }
}

/// `name{label="value",…} number timestamp?`
fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(|character: char| character == '{' || character.is_whitespace())?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.trim_start().strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once('=')?;
            let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
            labels.push((label.trim().to_owned(), value));
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// What stands before the closing quotation mark, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"
# HELP a_total Some "help" {of="a"} kind
# TYPE a_total counter
a_total{method="GET",path="/a b"} 3
a_total{method="PUT",path="x=\"y\",z=\\n{}"} 4 1700000000000
a_total{ method = "GET", path = "two\nlines", } 5

b_seconds_bucket{le="0.5"} 1
b_seconds_bucket{le="+Inf"} 2
b_seconds_sum 0.75
b_seconds_count 2
c NaN
d +Inf
e -1.5e-3
not a number
broken{a="b 1
"#;

    #[test]
    fn numbers_are_found_by_name_and_labels() {
        let page = Snapshot::parse(PAGE);
        assert_eq!(page.sum("a_total", &[]), Some(12.0));
        assert_eq!(page.sum("a_total", &[("method", "GET")]), Some(8.0));
        assert_eq!(page.sum("a_total", &[("method", "GET"), ("path", "/a b")]), Some(3.0));
        assert_eq!(page.sum("a_total", &[("method", "DELETE")]), None);
        assert_eq!(page.sum("b_seconds_bucket", &[("le", "+Inf")]), Some(2.0));
        assert_eq!(page.sum("b_seconds_sum", &[]), Some(0.75));
        assert_eq!(page.sum("b_seconds", &[]), None);
        assert!(page.sum("c", &[]).unwrap().is_nan());
        assert_eq!(page.sum("d", &[]), Some(f64::INFINITY));
        assert_eq!(page.sum("e", &[]), Some(-0.0015));
        assert_eq!(page.iter().count(), 10);
    }

    #[test]
    fn label_values_are_unescaped() {
        let page = Snapshot::parse(PAGE);
        let paths: Vec<_> = page.samples("a_total").filter_map(|sample| sample.label("path")).collect();
        assert_eq!(paths, ["/a b", "x=\"y\",z=\\n{}", "two\nlines"]);
    }
}
