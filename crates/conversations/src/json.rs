//! JSON that passes through: kept as text, because nothing here looks inside.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_postgres::types;

/// A JSON value as PostgreSQL keeps it: one spelling for equal values, object keys in its own order.
///
/// Serializes as the value itself, without having been taken apart. `Debug` shows its size alone.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

/// How a value travels to and from a jsonb column.
pub(crate) type Jsonb = types::Json<Box<RawValue>>;

impl Json {
    /// The value's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value, taken apart.
    #[must_use]
    pub fn to_value(&self) -> Value {
        // The text is valid JSON and nested less deeply than serde_json's limit (`check::MAX_DEPTH`).
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of JSON", self.as_str().len())
    }
}

impl From<Jsonb> for Json {
    fn from(types::Json(value): Jsonb) -> Self {
        Self(value)
    }
}
