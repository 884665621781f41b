use crate::ApiError;

/// Names the field that did not fit its type. Of serde's own words only those are repeated that are ours; the rest
/// could hold anything that the client sent.
pub(super) fn wrong_field<E: std::fmt::Display>(
    error: &serde_path_to_error::Error<E>,
    whole: &'static str,
) -> ApiError {
    let message = error.inner().to_string();
    let path = error.path().to_string();
    let name = if path == "." { whole.to_owned() } else { path };
    let quoted = || message.split('`').nth(1).unwrap_or(whole).to_owned();
    if message.starts_with("missing field") {
        ApiError::field(quoted(), "is required")
    } else if message.starts_with("unknown field") {
        ApiError::field(name, "is not known")
    } else if message.starts_with("duplicate field") {
        ApiError::field(quoted(), "is given twice")
    } else {
        let expected = message.rsplit_once("expected ").map(|(_, rest)| rest);
        // "… at line 1 column 7"
        let expected = expected.map(|rest| rest.split(" at line ").next().unwrap_or(rest));
        match expected {
            Some(expected) => ApiError::field(name, format!("must be {expected}")),
            None => ApiError::field(name, "is not valid"),
        }
    }
}
