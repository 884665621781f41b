use std::fmt::Write as _;

use chrono::{SecondsFormat, Utc};
use serde_json::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::fields::Fields;
use crate::{Format, escape};

/// Most bytes of one value in a line.
const VALUE_LIMIT: usize = 16 * 1024;
/// Most bytes of a line, about: journald takes what is longer than 48 KiB for several lines.
const LINE_LIMIT: usize = 46 * 1024;

/// A [`Layer`] that writes one line for each event: its time, level, target, message and place, the fields of its
/// spans, then its own. An event's field hides a span's field of the same name, an inner span's an outer one's.
pub struct Lines(Vec<(Format, WriteLine)>);

type WriteLine = Box<dyn Fn(&str) + Send + Sync>;

impl Lines {
    /// Lines in `format`, each handed to `write` in one piece, with the line feed that ends it.
    pub fn new(format: Format, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Vec::new()).and(format, write)
    }

    /// The same lines to another place.
    #[must_use]
    pub fn and(mut self, format: Format, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.0.push((format, Box::new(write)));
        self
    }
}

/// An event on its way to become a line.
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    logger: Value,
    message: Value,
    module: Value,
    number: Value,
    fields: Vec<(&'a str, &'a Value)>,
}

impl Line<'_> {
    fn json(&self) -> String {
        let mut out = String::with_capacity(640);
        let _ = write!(out, r#"{{"timestamp":"{}","level":"{}""#, self.timestamp, self.level);
        let place =
            [("logger", &self.logger), ("message", &self.message), ("module", &self.module), ("line", &self.number)];
        let mut left_out = 0;
        for (name, value) in place.into_iter().chain(self.fields.iter().copied()) {
            let Some(limit) = room(&out) else {
                left_out += 1;
                continue;
            };
            out.push(',');
            escape::push(&mut out, name, limit, true);
            out.push(':');
            push(&mut out, value, limit, true);
        }
        if left_out > 0 {
            let _ = write!(out, r#","fields_left_out":{left_out}"#);
        }
        out.push_str("}\n");
        out
    }

    fn text(&self) -> String {
        let mut out = format!("{} {:>5} ", self.timestamp, self.level);
        push(&mut out, &self.logger, VALUE_LIMIT, false);
        out.push_str(": ");
        push(&mut out, &self.message, VALUE_LIMIT, false);
        for (name, value) in &self.fields {
            let Some(limit) = room(&out) else { break };
            out.push(' ');
            escape::push(&mut out, name, limit, false);
            out.push('=');
            let quoted = value.as_str().is_some_and(|text| text.is_empty() || text.contains([' ', '"', '=']));
            push(&mut out, value, limit, quoted);
        }
        out.push('\n');
        out
    }
}

/// Most bytes of the next value in a line that is `out` so far; none when it is full.
fn room(out: &str) -> Option<usize> {
    (out.len() < LINE_LIMIT).then(|| VALUE_LIMIT.min(LINE_LIMIT - out.len()))
}

fn push(out: &mut String, value: &Value, limit: usize, quoted: bool) {
    match value {
        Value::String(text) => escape::push(out, text, limit, quoted),
        plain => drop(write!(out, "{plain}")),
    }
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        // Before anything is locked: the formatting of a value may log as well.
        let mut fields = Fields::default();
        values.record(&mut fields);
        let Some(span) = context.span(id) else { return };
        if let Some(known) = span.extensions_mut().get_mut::<Fields>() {
            known.merge(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut own = Fields::default();
        event.record(&mut own);
        let message = own.take("message").unwrap_or_else(|| "".into());
        // Records of the `log` facade arrive with their true place in fields.
        let logger = own.take("log.target").unwrap_or_else(|| metadata.target().into());
        let module = own.take("log.module_path").unwrap_or_else(|| metadata.module_path().into());
        let number = own.take("log.line").unwrap_or_else(|| metadata.line().into());
        let _ = own.take("log.file");

        let spans: Vec<_> = context.event_scope(event).into_iter().flatten().collect();
        let extensions: Vec<_> = spans.iter().map(|span| span.extensions()).collect();
        let mut fields: Vec<(&str, &Value)> = Vec::with_capacity(16);
        for known in extensions.iter().filter_map(|extensions| extensions.get::<Fields>()) {
            for (name, value) in &known.0 {
                // An event's message is the line's.
                let name = if *name == "message" { "field.message" } else { name };
                if !fields.iter().any(|(other, _)| *other == name) && !own.has(name) {
                    fields.push((name, value));
                }
            }
        }
        fields.extend(own.0.iter().map(|(name, value)| (*name, value)));

        let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let level = metadata.level().as_str();
        let line = Line { timestamp, level, logger, message, module, number, fields };
        let (mut json, mut text) = (None, None);
        for (format, write) in &self.0 {
            write(match format {
                Format::Json => json.get_or_insert_with(|| line.json()),
                Format::Text => text.get_or_insert_with(|| line.text()),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::field::Empty;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn written(format: Format, work: impl FnOnce()) -> String {
        let text = Arc::<Mutex<String>>::default();
        let sink = Arc::clone(&text);
        let lines = Lines::new(format, move |line| sink.lock().unwrap().push_str(line));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        text.lock().unwrap().clone()
    }

    fn json(work: impl FnOnce()) -> Vec<Value> {
        written(Format::Json, work).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_within_a_span_has_its_context_from_whatever_module() {
        let lines = json(|| {
            let span = tracing::info_span!("request", request_id = "r-1", user_id = Empty);
            let _entered = span.enter();
            tracing::info!("before");
            span.record("user_id", "u-1");
            tracing::warn!(target: "somebody_else", rows = 3, ratio = 0.5, ok = true, "after");
        });
        assert_eq!(lines[0]["request_id"], "r-1");
        assert_eq!(lines[0].get("user_id"), None);
        assert_eq!(lines[1]["request_id"], "r-1");
        assert_eq!(lines[1]["user_id"], "u-1");
        assert_eq!(lines[1]["rows"], 3);
        assert_eq!(lines[1]["ratio"], 0.5);
        assert_eq!(lines[1]["ok"], true);
        assert_eq!(lines[1]["logger"], "somebody_else");
        assert_eq!(lines[1]["level"], "WARN");
        assert_eq!(lines[1]["module"], "parlant_telemetry::lines::tests");
        assert!(lines[1]["line"].is_u64());
        let timestamp = lines[1]["timestamp"].as_str().unwrap();
        assert_eq!(timestamp.len(), "2026-01-01T00:00:00.000000Z".len(), "{timestamp}");
    }

    #[test]
    fn whatever_is_logged_a_line_is_one_valid_object() {
        let lines = json(|| {
            tracing::info!(message_text = "two\nlines \"quoted\" \u{0}\u{1b}[31m", nan = f64::NAN, "new\nline");
            tracing::info!(level = "mine", timestamp = 5, "reserved names");
            tracing::info!(value = ?Some("debug"), time = ?std::time::Duration::from_secs(1));
        });
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["message"], "new\nline");
        assert_eq!(lines[0]["nan"], Value::Null);
        assert_eq!(lines[1]["level"], "INFO");
        assert_eq!(lines[1]["field.level"], "mine");
        assert_eq!(lines[1]["field.timestamp"], 5);
        assert_eq!(lines[2]["value"], "Some(\"debug\")");
    }

    #[test]
    fn no_name_is_there_twice_whatever_the_fields_are_called() {
        let lines = written(Format::Json, || {
            let span = tracing::info_span!("s", message = "of the span", "field.line" = 1, "é'\"\n" = 2, b = Empty);
            let _entered = span.enter();
            span.record("b", 1);
            span.record("b", 2);
            tracing::info!(r#type = "t", line = 3, b = 3, "field.line" = 4, "of the event");
        });
        assert_eq!(lines.matches(r#""field.line":"#).count(), 1, "{lines}");
        assert_eq!(lines.matches(r#""b":"#).count(), 1, "{lines}");
        let line: Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["message"], "of the event");
        assert_eq!(line["field.message"], "of the span");
        assert_eq!((&line["type"], &line["b"], &line["é'\"\n"]), (&"t".into(), &3.into(), &2.into()));
        assert!(line["line"].as_u64() > Some(4));
    }

    #[test]
    fn a_long_value_is_cut_and_a_line_stays_short_enough_for_journald() {
        let (long, control) = ("x".repeat(100_000), "\u{1}".repeat(100_000));
        let lines = written(Format::Json, || {
            let _entered = tracing::info_span!("request", request_id = "r-1", user_id = control).entered();
            tracing::info!(a = long, b = long, c = long, d = "short", "{control}");
            tracing::info!(a = &long[..16 * 1024], "whole");
        });
        let (first, second) = lines.split_once('\n').unwrap();
        assert!(first.len() < 48 * 1024, "{}", first.len());
        let line: Value = serde_json::from_str(first).unwrap();
        assert_eq!(line["request_id"], "r-1");
        assert!(line["message"].as_str().unwrap().ends_with(" bytes more]"));
        assert_eq!(line["fields_left_out"], 3);
        let line: Value = serde_json::from_str(second).unwrap();
        assert_eq!(line["a"].as_str().unwrap(), &long[..16 * 1024]);
    }

    #[test]
    fn each_place_gets_its_format() {
        let (one, two) = (Arc::<Mutex<String>>::default(), Arc::<Mutex<String>>::default());
        let (json, text) = (Arc::clone(&one), Arc::clone(&two));
        let lines = Lines::new(Format::Json, move |line| json.lock().unwrap().push_str(line))
            .and(Format::Text, move |line| text.lock().unwrap().push_str(line));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || tracing::info!("hello"));
        assert!(one.lock().unwrap().starts_with('{'));
        assert!(two.lock().unwrap().ends_with(": hello\n"));
    }

    #[test]
    fn an_events_field_hides_a_spans_field_of_the_same_name() {
        let text = written(Format::Json, || {
            let _entered = tracing::info_span!("request", workspace_id = "outer").entered();
            tracing::info!(workspace_id = "inner", "x");
        });
        assert_eq!(text.matches("workspace_id").count(), 1);
        assert!(text.contains(r#""workspace_id":"inner""#));
    }

    #[test]
    fn an_error_is_written_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the database refused")]
        struct Outer(#[source] std::io::Error);

        let lines = json(|| {
            let error = Outer(std::io::Error::other("connection reset"));
            tracing::error!(error = &error as &(dyn std::error::Error + 'static), "failed");
        });
        assert_eq!(lines[0]["error"], "the database refused: connection reset");
    }

    #[test]
    fn a_text_line_cannot_be_forged() {
        let text = written(Format::Text, || {
            tracing::info!(client = "a b", path = "/x\n2026 ERROR forged", "hello\r\nworld\u{1b}[2J");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#"client="a b""#), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
