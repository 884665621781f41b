use std::error::Error;
use std::fmt::{self, Write as _};

use serde_json::Value;
use tracing::field::{Field, Visit};

/// The fields of a span or of an event under the names that they have in a line, in the order in which they were given;
/// a later value of a name replaces the earlier one.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(&'static str, Value)>);

impl Fields {
    /// Takes the field out, for those that have a place of their own in the line.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(index).1)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    /// Takes over what `other` has.
    pub(crate) fn merge(&mut self, other: Self) {
        for (name, value) in other.0 {
            self.set(name, value);
        }
    }

    fn set(&mut self, name: &'static str, value: Value) {
        let name = name_in_line(name);
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }
}

/// Names with a meaning of their own in every line belong to it; a field of such a name is written as `field.NAME`.
fn name_in_line(name: &'static str) -> &'static str {
    match name.strip_prefix("r#").unwrap_or(name) {
        "timestamp" => "field.timestamp",
        "level" => "field.level",
        "logger" => "field.logger",
        "module" => "field.module",
        "line" => "field.line",
        name => name,
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    /// Not a number has no form in JSON and becomes null.
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    /// The whole chain: the outermost message of a database error says only that it is one.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            // Many errors repeat their cause in their own message.
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                let _ = write!(text, ": {cause_text}");
            }
            source = cause.source();
        }
        self.set(field.name(), text.into());
    }
}
