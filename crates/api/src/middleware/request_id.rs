use actix_web::http::header::HeaderValue;

/// Longest request id that is taken over from a client, in characters.
const LIMIT: usize = 128;

/// The client's request id, if it is one that is safe in every log and header: 1 to 128 ASCII letters, digits and
/// `.`, `_`, `-`, `:`.
pub(crate) fn accepted(incoming: Option<&HeaderValue>) -> Option<&str> {
    let text = incoming?.to_str().ok()?;
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    ((1..=LIMIT).contains(&text.len()) && text.bytes().all(safe)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        accepted(Some(&HeaderValue::from_bytes(text.as_bytes()).unwrap())).is_some()
    }

    #[test]
    fn only_short_plain_ids_are_taken_over() {
        for good in ["a", "018f-7A_b.c:1", &"x".repeat(LIMIT)] {
            assert!(accepts(good), "{good}");
        }
        for bad in ["", "a b", "a\"b", "é", "a,b", "{}", &"x".repeat(LIMIT + 1)] {
            assert!(!accepts(bad), "{bad}");
        }
        assert!(accepted(None).is_none());
    }
}
