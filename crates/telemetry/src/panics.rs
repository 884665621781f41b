use std::any::Any;

/// Turns panics into lines like all others, with their place and the context of the request that they broke, instead
/// of loose text on standard error.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(tracing::field::display);
        tracing::error!(location, reason = message(panic.payload()), "Panicked");
    }));
}

/// What a panic says: the two types that `panic!` makes.
fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a text")
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn both_kinds_of_text_are_read() {
        assert_eq!(message(&"text"), "text");
        assert_eq!(message(&"text".to_owned()), "text");
        assert_eq!(message(&1), "not a text");
    }
}
