use parlant_settings::{Secret, Settings, Variable};
use reqwest::Url;

use crate::ConfigError;

/// Where Parlant is.
pub const BASE_URL: Variable = Variable::new(
    "PARLANT_BASE_URL",
    "Address of a Parlant server, such as http://127.0.0.1:8800; unset, messages are stored and not answered",
);
/// What it is shown.
pub const TOKEN: Variable = Variable::new(
    "PARLANT_API_TOKEN",
    "Bearer token for a Parlant server, or a proxy in front of it, that asks for one",
)
.secret();
/// How its agents put their answers together.
pub const COMPOSITION_MODE: Variable = Variable::new(
    "PARLANT_COMPOSITION_MODE",
    "How agents compose answers: `fluid`, `canned_fluid`, `composited_canned` or `strict_canned`",
)
.default("fluid");

/// The variables that this crate reads.
pub const VARIABLES: &[Variable] = &[BASE_URL, TOKEN, COMPOSITION_MODE];

/// Parlant's ways to compose an answer: freely; so unless a canned response fits; in the style of those; from them alone.
const MODES: [&str; 4] = ["fluid", "canned_fluid", "composited_canned", "strict_canned"];

/// Where Parlant is, and how its agents are set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its address (`PARLANT_BASE_URL`): http or https; a path in front is kept.
    pub base_url: String,
    /// A bearer token of the bridge's own.
    pub token: Option<Secret>,
    /// How every agent composes its answers (`PARLANT_COMPOSITION_MODE`), in Parlant's words.
    pub composition_mode: String,
}

impl Config {
    /// Parlant at that address, without a token.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), token: None, composition_mode: MODES[0].to_owned() }
    }

    /// Reads [`VARIABLES`]; none when nobody said where Parlant is.
    pub fn from_settings(settings: &mut Settings) -> Option<Self> {
        let token = settings.secret(&TOKEN);
        let composition_mode: String = settings.value(&COMPOSITION_MODE);
        if !MODES.contains(&&*composition_mode) {
            settings.problem(&COMPOSITION_MODE, format!("must be one of {}", MODES.join(", ")));
        }
        let base_url: String = settings.optional(&BASE_URL)?;
        if let Err(error) = base(&base_url) {
            settings.problem(&BASE_URL, error.to_string());
        }
        Some(Self { base_url, token, composition_mode })
    }
}

/// The address, to which paths can be added.
pub(crate) fn base(text: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text).map_err(|_| ConfigError::BaseUrl)?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let known = matches!(url.scheme(), "http" | "https") && url.fragment().is_none();
    if plain && known { Ok(url) } else { Err(ConfigError::BaseUrl) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Option<Config>, Vec<String>) {
        let mut settings = Settings::from_pairs(pairs.iter().copied());
        let config = Config::from_settings(&mut settings);
        let problems = settings.finish().err().map(|problems| problems.to_string());
        (config, problems.iter().flat_map(|text| text.lines()).map(str::to_owned).collect())
    }

    #[test]
    fn without_an_address_there_is_no_engine() {
        let (config, problems) = read(&[("PARLANT_API_TOKEN", "hunter2")]);
        assert!(config.is_none() && problems.is_empty());
    }

    #[test]
    fn values_are_taken_over_and_the_token_stays_hidden() {
        let (config, problems) = read(&[
            ("PARLANT_BASE_URL", "https://parlant.internal/engine"),
            ("PARLANT_API_TOKEN", "hunter2"),
            ("PARLANT_COMPOSITION_MODE", "strict_canned"),
        ]);
        let config = config.unwrap();
        assert_eq!((&*config.composition_mode, problems.len()), ("strict_canned", 0));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn every_mistake_is_named() {
        for address in
            ["parlant:8800", "ftp://parlant", "http://user:hunter2@parlant", "http://parlant/?a=b", "parlant"]
        {
            let (_, problems) = read(&[("PARLANT_BASE_URL", address), ("PARLANT_COMPOSITION_MODE", "free")]);
            assert_eq!(problems.len(), 2, "{address}: {problems:?}");
            assert!(!problems.concat().contains("hunter2"));
        }
    }
}
