use std::fmt::Write as _;
use std::io::Write as _;

use chrono::{SecondsFormat, Utc};
use serde_json::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::Format;
use crate::fields::Fields;

/// Names with a meaning of their own in every line; an event's field of such a name is written as `field.NAME`.
const RESERVED: [&str; 6] = ["timestamp", "level", "logger", "message", "module", "line"];

/// A [`Layer`] that writes one line for each event: its time, level, target, message and place, its own fields, then
/// those of its spans. An event's field hides a span's field of the same name, an inner span's an outer one's.
#[derive(Debug)]
pub struct Lines<W> {
    format: Format,
    writer: W,
}

impl<W> Lines<W> {
    /// Lines in `format`, each written to `writer` in one piece.
    pub fn new(format: Format, writer: W) -> Self {
        Self { format, writer }
    }
}

/// An event on its way to become a line.
struct Line<'a> {
    level: &'a str,
    logger: Value,
    message: Value,
    module: Value,
    number: Value,
    fields: Vec<(&'a str, &'a Value)>,
}

impl Line<'_> {
    fn json(&self, out: &mut String) {
        let _ = write!(
            out,
            r#"{{"timestamp":"{}","level":"{}","logger":{},"message":{},"module":{},"line":{}"#,
            Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            self.level,
            self.logger,
            self.message,
            self.module,
            self.number,
        );
        for (name, value) in &self.fields {
            let prefix = if RESERVED.contains(name) { "field." } else { "" };
            let _ = write!(out, r#","{prefix}{}":{value}"#, name.escape_default());
        }
        out.push_str("}\n");
    }

    fn text(&self, out: &mut String) {
        out.push_str(&Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true));
        let _ = write!(out, " {:>5} ", self.level);
        push_plain(out, &self.logger);
        out.push_str(": ");
        push_plain(out, &self.message);
        for (name, value) in &self.fields {
            let _ = write!(out, " {name}=");
            match value {
                Value::String(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                    let _ = write!(out, "{value}");
                }
                _ => push_plain(out, value),
            }
        }
        out.push('\n');
    }
}

/// The value without quotes, and without the control characters that could forge a line or drive a terminal.
fn push_plain(out: &mut String, value: &Value) {
    let Value::String(text) = value else {
        let _ = write!(out, "{value}");
        return;
    };
    for character in text.chars() {
        if character.is_control() {
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
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
        let mut fields: Vec<(&str, &Value)> = own.0.iter().map(|(name, value)| (*name, value)).collect();
        for known in extensions.iter().filter_map(|extensions| extensions.get::<Fields>()) {
            for (name, value) in &known.0 {
                if !fields.iter().any(|(other, _)| other == name) {
                    fields.push((name, value));
                }
            }
        }

        let mut out = String::with_capacity(512);
        let line = Line { level: metadata.level().as_str(), logger, message, module, number, fields };
        match self.format {
            Format::Json => line.json(&mut out),
            Format::Text => line.text(&mut out),
        }
        // Nobody is left to tell when the log itself cannot be written.
        let _ = self.writer.make_writer_for(metadata).write_all(out.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::field::Empty;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, work: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines = Lines::new(format, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
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
        struct Outer(#[source] io::Error);

        let lines = json(|| {
            let error = Outer(io::Error::other("connection reset"));
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
