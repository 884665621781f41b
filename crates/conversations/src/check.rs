//! What the fields of a request may hold. The first wall is the API's; this one is for every other caller, and for
//! what PostgreSQL could not store.

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio_postgres::types;

use crate::Error;
use crate::error::{FieldError, FieldErrors};
use crate::json::Jsonb;
use crate::page::MAX_PAGE;

/// Longest name of an agent, in characters (Unicode scalar values).
pub const MAX_NAME: usize = 255;
/// Longest description of an agent, in characters.
pub const MAX_DESCRIPTION: usize = 4_000;
/// Longest name of a model, in characters.
pub const MAX_MODEL: usize = 255;
/// Most guidelines of an agent, and most tools.
pub const MAX_ENTRIES: usize = 200;
/// Largest list of guidelines or of tools, in bytes of JSON.
pub const MAX_ENTRIES_BYTES: usize = 64 * 1024;
/// Largest context of a session, in bytes of JSON.
pub const MAX_CONTEXT_BYTES: usize = 64 * 1024;
/// Largest metadata of a message, in bytes of JSON.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;
/// Longest content of a message, in characters.
pub const MAX_CONTENT: usize = 32_000;
/// Longest idempotency key, in characters, which are visible ASCII.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;
/// Highest temperature of an agent; the lowest is 0.
pub const MAX_TEMPERATURE: f64 = 2.0;
/// Deepest nesting of arrays and objects in JSON that is stored. Half of what `serde_json` reads.
pub const MAX_DEPTH: usize = 64;

/// Collects what is wrong with a request, so that all of it is told at once.
#[derive(Debug, Default)]
pub(crate) struct Check(Vec<FieldError>);

impl Check {
    pub(crate) fn problem(&mut self, field: &'static str, message: impl Into<String>) {
        self.0.push(FieldError { field, message: message.into() });
    }

    /// Ends the check.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(FieldErrors(self.0))) }
    }

    /// An agent's name without the blanks around it: one line that says something.
    pub(crate) fn name<'a>(&mut self, name: &'a str) -> &'a str {
        let name = name.trim();
        if name.is_empty() || longer(name, MAX_NAME) {
            self.problem("name", format!("must have 1 to {MAX_NAME} characters"));
        } else if name.contains(char::is_control) {
            self.problem("name", "must not contain control characters");
        }
        name
    }

    /// Text of `least` to `most` characters that PostgreSQL can store.
    pub(crate) fn text(&mut self, field: &'static str, text: &str, least: usize, most: usize) {
        if longer(text, most) || text.len() < least {
            self.problem(field, format!("must have {least} to {most} characters"));
        } else if text.contains('\0') {
            self.problem(field, NUL);
        }
    }

    pub(crate) fn temperature(&mut self, temperature: f64) {
        if !(0.0..=MAX_TEMPERATURE).contains(&temperature) {
            self.problem("temperature", format!("must be from 0 to {MAX_TEMPERATURE}"));
        }
    }

    pub(crate) fn idempotency_key(&mut self, key: &str) {
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY || !visible {
            let expected = format!("must have 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters");
            self.problem("idempotency_key", expected);
        }
    }

    /// Guidelines or tools: a list of objects or texts.
    pub(crate) fn entries(&mut self, field: &'static str, entries: &[Value]) -> Jsonb {
        if entries.len() > MAX_ENTRIES {
            self.problem(field, format!("must have at most {MAX_ENTRIES} entries"));
        } else if !entries.iter().all(|entry| entry.is_object() || entry.is_string()) {
            self.problem(field, "must contain objects or texts only");
        }
        let mut room = MAX_ENTRIES_BYTES;
        let problem = entries.iter().find_map(|entry| unstorable(entry, MAX_DEPTH - 1, &mut room));
        self.json(field, &entries, problem, MAX_ENTRIES_BYTES, room)
    }

    /// Context or metadata: an object of anything.
    pub(crate) fn object(&mut self, field: &'static str, value: &Value, most: usize) -> Jsonb {
        if !value.is_object() {
            self.problem(field, "must be an object");
        }
        let mut room = most;
        let problem = unstorable(value, MAX_DEPTH, &mut room);
        self.json(field, value, problem, most, room)
    }

    fn json(
        &mut self,
        field: &'static str,
        value: &impl serde::Serialize,
        problem: Option<&'static str>,
        most: usize,
        room: usize,
    ) -> Jsonb {
        if let Some(problem) = problem {
            self.problem(field, problem);
            return types::Json(RawValue::NULL.to_owned());
        }
        // A `Value` cannot fail to serialize: its keys are strings and its numbers finite.
        let raw = to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        if raw.get().len() > room {
            self.problem(field, format!("must have at most {most} bytes of JSON"));
        }
        types::Json(raw)
    }

    pub(crate) fn limit(&mut self, limit: u32) {
        if !(1..=MAX_PAGE).contains(&limit) {
            self.problem("limit", format!("must be from 1 to {MAX_PAGE}"));
        }
    }
}

const NUL: &str = "must not contain the character U+0000";

fn longer(text: &str, most: usize) -> bool {
    // Bytes are never fewer than characters, so most texts are not walked.
    text.len() > most && text.chars().nth(most).is_some()
}

/// Why PostgreSQL would not store a value. Takes from `room` the digits that it will write out: `1e300` comes back as a
/// 1 with 300 zeros.
fn unstorable(value: &Value, depth: usize, room: &mut usize) -> Option<&'static str> {
    match value {
        Value::String(text) => text.contains('\0').then_some(NUL),
        Value::Array(_) | Value::Object(_) if depth == 0 => Some("is nested too deeply"),
        Value::Array(values) => values.iter().find_map(|value| unstorable(value, depth - 1, room)),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let key = key.contains('\0').then_some(NUL);
            key.or_else(|| unstorable(value, depth - 1, room))
        }),
        Value::Number(number) => {
            let exponent = number.as_f64().map_or(0.0, |number| number.abs().log10());
            // From 1e16 on, and below 1e-5, an exponent stands in the text for the digits. Zero has none.
            if exponent.is_finite() && !(-5.0..16.0).contains(&exponent) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "an f64 has an exponent from -324 to 308"
                )]
                let digits = exponent.abs().ceil() as usize;
                *room = room.saturating_sub(digits);
            }
            None
        }
        Value::Null | Value::Bool(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(check: Check) -> Vec<(&'static str, String)> {
        match check.finish() {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(FieldErrors(errors))) => {
                errors.into_iter().map(|error| (error.field, error.message)).collect()
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let mut check = Check::default();
        check.text("content", &"é".repeat(MAX_CONTENT), 1, MAX_CONTENT);
        check.name(&"日".repeat(MAX_NAME));
        assert!(problems(check).is_empty());

        let mut check = Check::default();
        check.text("content", &"é".repeat(MAX_CONTENT + 1), 1, MAX_CONTENT);
        check.text("content", "", 1, MAX_CONTENT);
        check.name(&"日".repeat(MAX_NAME + 1));
        assert_eq!(problems(check).len(), 3);
    }

    #[test]
    fn a_name_is_one_line_without_blanks_around_it() {
        let mut check = Check::default();
        assert_eq!(check.name("  Help desk\t"), "Help desk");
        assert!(problems(check).is_empty());
        for name in ["", " \n", "a\nb", "a\0b", "a\u{1b}[31mb"] {
            let mut check = Check::default();
            check.name(name);
            assert_eq!(problems(check).len(), 1, "{name:?}");
        }
    }

    #[test]
    fn what_postgresql_cannot_store_is_found_at_any_depth() {
        let values = [json!({"a": [{"b": "x\0y"}]}), json!({"a\0": 1}), json!([{"\0": null}])];
        for value in values {
            assert_eq!(unstorable(&value, MAX_DEPTH, &mut 99), Some(NUL), "{value}");
        }
        // The escape's text is not the character.
        let text = json!({"a": "\\u0000"});
        assert_eq!(unstorable(&text, MAX_DEPTH, &mut 99), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| (0..depth).fold(json!(1), |value, _| json!([value]));
        assert_eq!(unstorable(&nested(MAX_DEPTH), MAX_DEPTH, &mut 99), None);
        assert!(unstorable(&nested(MAX_DEPTH + 1), MAX_DEPTH, &mut 99).is_some());
        let mut check = Check::default();
        check.entries("tools", &[json!({"a": nested(MAX_DEPTH - 2)})]);
        assert!(problems(check).is_empty());
    }

    #[test]
    fn json_has_a_shape_and_a_size() {
        let mut check = Check::default();
        check.entries("guidelines", &[json!({"condition": "a", "action": "b"}), json!("c")]);
        check.object("metadata", &json!({"a": [1, null, 1.5]}), MAX_METADATA_BYTES);
        assert!(problems(check).is_empty());

        let mut check = Check::default();
        check.entries("guidelines", &[json!(1)]);
        check.entries("tools", &vec![json!("t"); MAX_ENTRIES + 1]);
        check.entries("tools", &[json!("t".repeat(MAX_ENTRIES_BYTES))]);
        check.object("metadata", &json!([]), MAX_METADATA_BYTES);
        check.object("metadata", &json!({"a": "m".repeat(MAX_METADATA_BYTES)}), MAX_METADATA_BYTES);
        assert_eq!(problems(check).len(), 5);
    }

    #[test]
    fn numbers_count_as_long_as_they_come_back() {
        let fits = |number: f64, count: usize| {
            let mut check = Check::default();
            check.object("metadata", &json!({"a": vec![number; count]}), 1_000);
            problems(check).is_empty()
        };
        assert!(fits(1e300, 3) && !fits(1e300, 4));
        assert!(fits(-1e-300, 3) && !fits(-1e-300, 4));
        assert!(fits(0.0, 200) && fits(1.5, 200) && fits(0.0001, 120));
    }

    #[test]
    fn numbers_are_bounded_and_not_a_number_is_none() {
        for temperature in [-0.1, 2.1, f64::NAN, f64::INFINITY] {
            let mut check = Check::default();
            check.temperature(temperature);
            assert_eq!(problems(check).len(), 1, "{temperature}");
        }
        let mut check = Check::default();
        check.temperature(0.0);
        check.temperature(2.0);
        check.limit(1);
        check.limit(100);
        check.idempotency_key("6f1c-42");
        assert!(problems(check).is_empty());
        let mut check = Check::default();
        check.limit(0);
        check.limit(101);
        check.idempotency_key("");
        check.idempotency_key("a b");
        check.idempotency_key("schlüssel");
        check.idempotency_key(&"k".repeat(256));
        assert_eq!(problems(check).len(), 6);
    }
}
