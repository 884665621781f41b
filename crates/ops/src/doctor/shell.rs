//! Commands for people to paste.

use std::borrow::Cow;

/// The text as one word of a shell; none of ours has the one character that no word can have.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    shlex::try_quote(text).unwrap_or_default()
}

/// SQL for somebody who may do more than the server; where that is, only they know.
pub(crate) fn psql(sql: &str) -> String {
    format!(r#"psql "$ADMIN_URL" -c {}"#, quoted(sql))
}

/// A name in SQL.
pub(crate) fn identifier(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    // `user` is the one table of Sim's with a reserved name.
    if name != "user" && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_means_itself() {
        for sql in ["grant select on \"user\" to a", "create index i on t (a) where b = 'active'", "select 1"] {
            assert_eq!(shlex::split(&psql(sql)).unwrap(), ["psql", "$ADMIN_URL", "-c", sql]);
        }
        assert_eq!(identifier("parlant_app"), "parlant_app");
        assert_eq!(identifier("user"), "\"user\"");
        assert_eq!(identifier("a\"B"), "\"a\"\"B\"");
    }
}
