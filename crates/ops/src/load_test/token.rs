use std::fs;
use std::path::{Path, PathBuf};

use parlant_settings::{Problems, Secret, Settings, Variable};
use serde::Deserialize;

use super::Error;

/// The token of those scenarios that send one, and that the doctor judges.
pub const TOKEN: Variable = Variable::new(
    "PARLANT_TOKEN",
    "A session token or JWT: sent by the scenarios of `load-test` that need one, judged by `doctor`",
)
.secret();

/// The variables that the load test reads.
pub const VARIABLES: &[Variable] = &[TOKEN];

/// Where the token is looked for, the first first.
#[derive(Debug, Default)]
pub struct TokenSources {
    /// A file with nothing else in it.
    pub file: Option<PathBuf>,
    /// What `parlant-server dev` left.
    pub dev: Option<Dev>,
}

impl TokenSources {
    /// The token, if there is one: from the file, from `dev`, or from the settings ([`TOKEN`]).
    ///
    /// # Errors
    /// When the file cannot be read. A bad [`TOKEN`] is a problem of the settings.
    pub fn find(self, settings: &mut Settings) -> Result<Option<Secret>, Error> {
        if let Some(path) = self.file {
            // The settings read secrets from files already, bounded and trimmed.
            let mut file = Settings::from_pairs([(format!("{}_FILE", TOKEN.name), path.to_string_lossy())]);
            let token = file.secret(&TOKEN);
            let reason = |problems: Problems| problems.0.into_iter().map(|problem| problem.message).collect::<String>();
            return file.finish().map(|()| token).map_err(|problems| {
                Error::Token(format!("cannot read a token from {}: {}", path.display(), reason(problems)))
            });
        }
        Ok(self.dev.map(|dev| dev.token).or_else(|| settings.secret(&TOKEN)))
    }
}

/// A server that `parlant-server dev` runs.
#[derive(Debug, Deserialize)]
pub struct Dev {
    /// Where it listens.
    pub base_url: String,
    /// The demo user's.
    #[serde(deserialize_with = "secret")]
    pub token: Secret,
}

impl Dev {
    /// Reads `dev.json` in the data directory of `dev`.
    ///
    /// # Errors
    /// When it is not there, or is not what `dev` writes.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("dev.json");
        let text = fs::read_to_string(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        // The parser's own message may repeat a part of the file.
        let not = || Error::Token(format!("{} is not what `parlant-server dev` writes", path.display()));
        serde_json::from_str(&text).map_err(|_| not())
    }
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}
