use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Longest name that is repeated to the client, in characters: enough for every name that we have.
const NAME_LIMIT: usize = 100;

/// Which fields, headers or parameters are wrong, and what each must be. Serializes as an object of messages by name.
#[derive(Debug)]
pub struct FieldErrors(Vec<(Cow<'static, str>, Cow<'static, str>)>);

impl FieldErrors {
    /// A single wrong field.
    pub(crate) fn one(name: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        let mut name = name.into();
        if let Some((end, _)) = name.char_indices().nth(NAME_LIMIT) {
            name.to_mut().truncate(end);
        }
        Self(vec![(name, message.into())])
    }
}

impl From<parlant_conversations::FieldErrors> for FieldErrors {
    fn from(errors: parlant_conversations::FieldErrors) -> Self {
        let errors = errors.0.into_iter();
        Self(errors.map(|error| (error.field.into(), error.message.into())).collect())
    }
}

impl Serialize for FieldErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (index, (name, message)) in self.0.iter().enumerate() {
            // A field that broke two rules is told the first.
            if !self.0[..index].iter().any(|(known, _)| known == name) {
                object.serialize_entry(name, message)?;
            }
        }
        object.end()
    }
}

/// Names alone: a message may repeat what the client sent.
impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let errors = FieldErrors::one("é".repeat(500), "is not known");
        assert_eq!(errors.to_string().chars().count(), NAME_LIMIT);
    }
}
