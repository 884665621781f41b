use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::{FromSetting, Problem, Problems, Secret, Variable};

/// Longest secret file that is read, in bytes: a key or a URL, not a log that was named by mistake.
const SECRET_FILE_LIMIT: u64 = 64 * 1024;

/// The values that were given, and the problems found while reading them.
///
/// `Debug` shows names only.
pub struct Settings {
    values: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("names", &self.values.keys())
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

/// What holds for one variable, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The variable's name.
    pub name: &'static str,
    /// The value as given or the default; `[redacted]` for a secret; none when unset.
    pub value: Option<String>,
    /// Where it comes from: `environment`, `default` or `unset`.
    pub origin: &'static str,
}

impl Settings {
    /// Reads the process environment, then `.env` in the working directory for names not set there.
    ///
    /// A `.env` that cannot be read or parsed is one of the problems.
    #[must_use]
    pub fn from_process() -> Self {
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut settings = Self::from_pairs(environment);
        settings.add_file(Path::new(".env"));
        settings
    }

    /// Settings from the given pairs alone; for tests and for programs that bring their own.
    #[must_use]
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self {
            values: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            problems: Vec::new(),
        }
    }

    /// Adds what the file at `path` says about names that have no value yet. No file is no problem.
    pub fn add_file(&mut self, path: &Path) {
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(error) if error.not_found() => return,
            Err(_) => return self.add(&path.display().to_string(), "cannot be read"),
        };
        for (index, line) in lines.enumerate() {
            // The parser's own message repeats the line, which may hold a secret.
            match line {
                Ok((name, value)) => drop(self.values.entry(name).or_insert(value)),
                Err(_) => self.add(&path.display().to_string(), format!("assignment {} is not NAME=value", index + 1)),
            }
        }
    }

    /// Gives `variable` a value, whatever it had.
    pub fn set(&mut self, variable: &Variable, value: impl Into<String>) {
        for name in [&[variable.name], variable.aliases].concat() {
            self.values.remove(name);
            self.values.remove(&format!("{name}_FILE"));
        }
        self.values.insert(variable.name.to_owned(), value.into());
    }

    /// Whether `variable` was given a value, by whatever name.
    #[must_use]
    pub fn is_set(&self, variable: &Variable) -> bool {
        self.given(variable).next().is_some()
    }

    /// The value or the default; none when there is neither, or when it cannot be read (a problem).
    pub fn optional<T: FromSetting>(&mut self, variable: &Variable) -> Option<T> {
        let text = self.text(variable).or_else(|| variable.default.map(str::to_owned))?;
        match T::from_setting(&text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.problem(variable, expected);
                None
            }
        }
    }

    /// The value or the default. A missing or unreadable one is a problem, and `T::default()` stands in
    /// for it until [`finish`](Self::finish) refuses the whole.
    pub fn value<T: FromSetting + Default>(&mut self, variable: &Variable) -> T {
        let known = self.problems.len();
        self.optional(variable).unwrap_or_else(|| {
            if self.problems.len() == known {
                self.problem(variable, "is required");
            }
            T::default()
        })
    }

    /// The secret, if one is given by `NAME` or by the file that `NAME_FILE` names.
    pub fn secret(&mut self, variable: &Variable) -> Option<Secret> {
        self.text(variable).map(Secret::from)
    }

    /// Records a problem that the reader of several variables found.
    pub fn problem(&mut self, variable: &Variable, message: impl Into<String>) {
        self.add(variable.name, message);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All problems that were found, when there are any.
    pub fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }

    /// What holds for `variable`, with secrets redacted.
    #[must_use]
    pub fn effective(&self, variable: &Variable) -> Effective {
        let (value, origin) = match (self.given(variable).next(), variable.default) {
            (Some((_, value)), _) => (Some(value), "environment"),
            (None, Some(default)) => (Some(default), "default"),
            (None, None) => (None, "unset"),
        };
        let value = value.map(|value| if variable.secret { "[redacted]".to_owned() } else { value.to_owned() });
        Effective { name: variable.name, value, origin }
    }

    /// Every name of `variable` that has a value, with `NAME_FILE` names for secrets.
    fn given<'a>(&'a self, variable: &'a Variable) -> impl Iterator<Item = (String, &'a str)> {
        std::iter::once(variable.name)
            .chain(variable.aliases.iter().copied())
            .flat_map(|name| {
                let file = variable.secret.then(|| format!("{name}_FILE"));
                std::iter::once(name.to_owned()).chain(file)
            })
            .filter_map(|name| {
                let value = self.values.get(&name)?.trim();
                (!value.is_empty()).then_some((name, value))
            })
    }

    fn text(&mut self, variable: &Variable) -> Option<String> {
        let mut texts = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in self.given(variable) {
            let from_file = name != variable.name && !variable.aliases.contains(&name.as_str());
            match from_file.then(|| read_secret(Path::new(value))) {
                None => texts.push((name, value.to_owned())),
                Some(Ok(text)) => texts.push((name, text)),
                Some(Err(error)) => problems.push((name, error.to_string())),
            }
        }
        for (name, message) in problems {
            self.add(&name, message);
        }
        let mut texts = texts.into_iter();
        let (first, text) = texts.next()?;
        for (other, other_text) in texts {
            if other.ends_with("_FILE") && other.strip_suffix("_FILE") == Some(&first) {
                self.add(&first, format!("is given twice, here and by {other}"));
            } else if other_text != text {
                self.add(&first, format!("disagrees with {other}, another name for it"));
            }
        }
        Some(text)
    }

    fn add(&mut self, variable: &str, message: impl Into<String>) {
        let problem = Problem { variable: variable.to_owned(), message: message.into() };
        // Two readers of one variable find the same problem.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

fn read_secret(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > SECRET_FILE_LIMIT {
        return Err(io::Error::other("the file is too large for a secret"));
    }
    let text = std::fs::read_to_string(path)?.trim().to_owned();
    if text.is_empty() {
        return Err(io::Error::other("the file is empty"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const URL: Variable = Variable::new("DATABASE_URL", "").alias(&["POSTGRES_URL"]).secret();
    const TTL: Variable = Variable::new("AUTH_CACHE_TTL", "").alias(&["SESSION_CACHE_TTL"]).default("300");
    const SIZE: Variable = Variable::new("SIZE", "");

    fn problems(settings: Settings) -> Vec<String> {
        match settings.finish() {
            Ok(()) => Vec::new(),
            Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn every_problem_is_reported_at_once_and_names_its_variable() {
        let mut settings = Settings::from_pairs([("AUTH_CACHE_TTL", "soon")]);
        settings.value::<u64>(&TTL);
        settings.value::<usize>(&SIZE);
        settings.problem(&URL, "is required");
        assert_eq!(
            problems(settings),
            ["AUTH_CACHE_TTL: must be a whole number of 0 or more", "SIZE: is required", "DATABASE_URL: is required",]
        );
    }

    #[test]
    fn an_alias_stands_for_its_variable_and_may_not_disagree() {
        let mut settings = Settings::from_pairs([("SESSION_CACHE_TTL", "60")]);
        assert_eq!(settings.value::<u64>(&TTL), 60);
        assert!(problems(settings).is_empty());

        let pairs = [("SESSION_CACHE_TTL", "60"), ("AUTH_CACHE_TTL", "300")];
        let mut settings = Settings::from_pairs(pairs);
        settings.value::<u64>(&TTL);
        assert_eq!(problems(settings), ["AUTH_CACHE_TTL: disagrees with SESSION_CACHE_TTL, another name for it"]);
    }

    #[test]
    fn what_a_program_sets_wins_over_every_name_that_was_given() {
        for name in ["DATABASE_URL", "POSTGRES_URL", "DATABASE_URL_FILE", "POSTGRES_URL_FILE"] {
            let mut settings = Settings::from_pairs([(name, "given")]);
            settings.set(&URL, "set");
            assert_eq!(settings.secret(&URL).as_ref().map(ExposeSecret::expose_secret), Some("set"), "{name}");
            settings.set(&URL, "");
            assert!(!settings.is_set(&URL), "{name}");
        }
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        let mut settings = Settings::from_pairs([("AUTH_CACHE_TTL", " "), ("SIZE", "")]);
        assert_eq!(settings.value::<u64>(&TTL), 300);
        assert_eq!(settings.optional::<usize>(&SIZE), None);
        assert!(problems(settings).is_empty());
    }

    #[test]
    fn a_secret_may_come_from_a_file() -> io::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), "postgres://u:p@h/d\n")?;
        let path = file.path().display().to_string();
        let mut settings = Settings::from_pairs([("POSTGRES_URL_FILE", path.as_str())]);
        let secret = settings.secret(&URL);
        assert_eq!(secret.as_ref().map(ExposeSecret::expose_secret), Some("postgres://u:p@h/d"));
        assert!(problems(settings).is_empty());

        let pairs = [("DATABASE_URL", "x"), ("DATABASE_URL_FILE", path.as_str())];
        let mut settings = Settings::from_pairs(pairs);
        settings.secret(&URL);
        assert_eq!(problems(settings), ["DATABASE_URL: is given twice, here and by DATABASE_URL_FILE"]);
        Ok(())
    }

    #[test]
    fn a_missing_secret_file_is_a_problem_of_the_name_that_points_to_it() {
        let mut settings = Settings::from_pairs([("DATABASE_URL_FILE", "/nowhere")]);
        assert!(settings.secret(&URL).is_none());
        let problems = problems(settings);
        assert!(problems[0].starts_with("DATABASE_URL_FILE: "), "{problems:?}");
    }

    #[test]
    fn the_environment_wins_over_the_file_and_bad_lines_do_not_show_their_text() -> io::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), "# comment\nSIZE=1\nAUTH_CACHE_TTL='60'\nhunter2 secret\n")?;
        let mut settings = Settings::from_pairs([("SIZE", "9")]);
        settings.add_file(file.path());
        assert_eq!(settings.value::<usize>(&SIZE), 9);
        assert_eq!(settings.value::<u64>(&TTL), 60);
        let problems = problems(settings);
        assert_eq!(problems.len(), 1);
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
        Ok(())
    }

    #[test]
    fn secrets_show_neither_in_debug_nor_in_the_effective_settings() {
        let settings = Settings::from_pairs([("DATABASE_URL", "postgres://u:hunter2@h/d")]);
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings.effective(&URL).value.as_deref(), Some("[redacted]"));
        assert_eq!(settings.effective(&TTL).origin, "default");
        assert_eq!(settings.effective(&SIZE).value, None);
    }
}
