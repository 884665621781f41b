use std::fmt::Write as _;

/// Appends `text` so that it stays on its line and drives no terminal: everything that some reader takes for a control
/// character or for the end of a line is written as `\uXXXX`. `quoted` makes it a JSON string. What goes beyond `limit`
/// bytes is cut off, with a mark.
pub(crate) fn push(out: &mut String, text: &str, limit: usize, quoted: bool) {
    if quoted {
        out.push('"');
    }
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !(quoted && matches!(byte, b'"' | b'\\'));
    if text.len() <= limit && text.bytes().all(plain) {
        out.push_str(text);
    } else {
        let start = out.len();
        for (index, character) in text.char_indices() {
            if out.len() - start >= limit {
                let _ = write!(out, "…[{} bytes more]", text.len() - index);
                break;
            }
            match character {
                '"' | '\\' if quoted => out.extend(['\\', character]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{2028}' | '\u{2029}' => drop(write!(out, "\\u{:04x}", u32::from(character))),
                _ if character.is_control() => drop(write!(out, "\\u{:04x}", u32::from(character))),
                _ => out.push(character),
            }
        }
    }
    if quoted {
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    fn pushed(text: &str, limit: usize, quoted: bool) -> String {
        let mut out = String::new();
        super::push(&mut out, text, limit, quoted);
        out
    }

    #[test]
    fn what_ends_a_line_for_any_reader_is_escaped() {
        let text = "a\r\n\t\u{b}\u{c}\u{1c}\u{7f}\u{85}\u{9b}\u{2028}\u{2029}é\"\\";
        assert_eq!(pushed(text, 100, true), r#""a\r\n\t\u000b\u000c\u001c\u007f\u0085\u009b\u2028\u2029é\"\\""#);
        assert_eq!(serde_json::from_str::<String>(&pushed(text, 100, true)).unwrap(), text);
        assert_eq!(pushed("a\"\\\n", 100, false), "a\"\\\\n");
    }

    #[test]
    fn what_is_too_long_is_cut_between_two_characters_and_says_so() {
        assert_eq!(pushed("aaaa", 4, false), "aaaa");
        assert_eq!(pushed("aaaaa", 4, true), "\"aaaa…[1 bytes more]\"");
        assert_eq!(pushed("ééé", 3, false), "éé…[2 bytes more]");
        assert_eq!(pushed("\u{0}\u{0}\u{0}", 8, false), "\\u0000\\u0000…[1 bytes more]");
    }
}
