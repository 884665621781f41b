/// One environment variable: its names, its default and what it is for.
///
/// Declared once as a `const` by the crate that reads it; the reference page and `.env.example` are held
/// against these declarations by a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// Other names that are accepted.
    pub aliases: &'static [&'static str],
    /// The value, as it would be written, that holds when none is given.
    pub default: Option<&'static str>,
    /// Whether the value must never be shown, and may come from `NAME_FILE`.
    pub secret: bool,
    /// One line for people: meaning and unit.
    pub summary: &'static str,
}

impl Variable {
    /// A variable without default or alias, not secret.
    #[must_use]
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        Self { name, aliases: &[], default: None, secret: false, summary }
    }

    /// Sets the default.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// Sets the other names.
    #[must_use]
    pub const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Marks the value as a secret.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}
