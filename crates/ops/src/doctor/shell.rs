//! Commands for people to paste.

/// The text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// SQL for somebody who may do more than the server; where that is, only they know.
pub(crate) fn psql(sql: &str) -> String {
    format!(r#"psql "$ADMIN_DATABASE_URL" -c {}"#, quoted(sql))
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
        assert_eq!(quoted("/var/log/a.log"), "/var/log/a.log");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
        assert_eq!(
            psql("grant select on \"user\" to a"),
            r#"psql "$ADMIN_DATABASE_URL" -c 'grant select on "user" to a'"#
        );
        assert_eq!(identifier("parlant_app"), "parlant_app");
        assert_eq!(identifier("user"), "\"user\"");
        assert_eq!(identifier("a\"B"), "\"a\"\"B\"");
    }
}
