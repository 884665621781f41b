//! What systemd gives to a service, read from where systemd reads it.

use std::path::Path;

use parlant_settings::Settings;

/// What the service reads: its variables, and `.env` in its directory.
pub(super) fn settings(variables: &[(String, String)], directory: &Path) -> Settings {
    let mut settings = Settings::from_pairs(variables.iter().cloned());
    settings.add_file(&directory.join(".env"));
    settings
}

/// `Environment=` as `systemctl show` prints it: words, quoted like a shell's where they need it.
pub(super) fn listed(text: &str) -> Vec<(String, String)> {
    shlex::split(text).unwrap_or_default().iter().filter_map(|word| assignment(word)).collect()
}

/// A file of `EnvironmentFile=`: assignments, comments, values that may be quoted and go on after a backslash.
pub(super) fn file(text: &str) -> Vec<(String, String)> {
    let text = text.replace("\\\n", "");
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines.filter_map(assignment).map(|(name, value)| (name, unquoted(&value))).collect()
}

fn assignment(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return if quote == '"' { inner.replace("\\\"", "\"").replace("\\\\", "\\") } else { inner.to_owned() };
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_lists_are_read_as_systemd_does() {
        let text = "# comment\n; another\nA=1\nURL=postgres://u:p$w@h/d?x=y\nQUOTED=\"a \\\"b\\\" c\"\nSINGLE='x $y'\n\nLONG=one\\\ntwo\nno\n";
        let expected = [
            ("A", "1"),
            ("URL", "postgres://u:p$w@h/d?x=y"),
            ("QUOTED", "a \"b\" c"),
            ("SINGLE", "x $y"),
            ("LONG", "onetwo"),
        ];
        let owned = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(file(text), owned);
        let list = [("A", "1"), ("B", "two words")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(listed(r#"A=1 "B=two words""#), list);
        assert!(listed("").is_empty());
    }
}
