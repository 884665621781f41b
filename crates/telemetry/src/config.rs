use std::io::IsTerminal;

use parlant_settings::{FromSetting, Settings, Variable};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Where libraries of others are held to [`LevelFilter::WARN`], everything whose target starts so is ours.
const OUR_TARGETS: &str = "parlant";

const LOG_LEVEL: Variable = Variable::new(
    "LOG_LEVEL",
    "Least severe level that is logged: ERROR, WARN, INFO, DEBUG or TRACE, or levels by target such as `warn,parlant_api=debug`",
)
.default("INFO");
const LOG_FORMAT: Variable =
    Variable::new("LOG_FORMAT", "`json`, `text`, or `auto`: text on a terminal, JSON otherwise").default("auto");

/// The variables that this crate reads.
pub const VARIABLES: &[Variable] = &[LOG_LEVEL, LOG_FORMAT];

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object.
    #[default]
    Json,
    /// For people: time, level, target, message, then `name=value`.
    Text,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which events are written.
    pub filter: Targets,
    /// What a line looks like.
    pub format: Format,
}

impl Config {
    /// Reads `LOG_LEVEL` and `LOG_FORMAT`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        Self { filter: settings.value::<Filter>(&LOG_LEVEL).0, format: settings.value(&LOG_FORMAT) }
    }
}

impl FromSetting for Format {
    fn from_setting(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "auto" if std::io::stderr().is_terminal() => Ok(Self::Text),
            "json" | "auto" => Ok(Self::Json),
            _ => Err("must be json, text or auto".to_owned()),
        }
    }
}

#[derive(Default)]
struct Filter(Targets);

impl FromSetting for Filter {
    fn from_setting(text: &str) -> Result<Self, String> {
        let level = match text.to_ascii_lowercase().as_str() {
            // The spelling of Python's logging, which Sim's operators know.
            "warning" => Ok(Level::WARN),
            other => other.parse(),
        };
        let targets = match level {
            Ok(level) => Targets::new()
                .with_default(LevelFilter::WARN.min(LevelFilter::from_level(level)))
                .with_target(OUR_TARGETS, level),
            Err(_) => {
                text.parse().map_err(|_| "must be ERROR, WARN, INFO, DEBUG or TRACE, or levels by target".to_owned())?
            }
        };
        Ok(Self(targets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(level: &str, target: &str, of: Level) -> bool {
        let mut settings = Settings::from_pairs([("LOG_LEVEL", level)]);
        Config::from_settings(&mut settings).filter.would_enable(target, &of)
    }

    #[test]
    fn libraries_are_held_to_warnings_whatever_our_level() {
        assert!(enabled("DEBUG", "parlant_api::routes", Level::DEBUG));
        assert!(enabled("DEBUG", "actix_server", Level::WARN));
        assert!(!enabled("DEBUG", "actix_server", Level::INFO));
        assert!(!enabled("ERROR", "actix_server", Level::WARN));
        assert!(enabled("warning", "parlant_api", Level::WARN));
    }

    #[test]
    fn levels_by_target_are_accepted() {
        assert!(enabled("warn,tokio_postgres=debug", "tokio_postgres", Level::DEBUG));
        assert!(!enabled("warn,tokio_postgres=debug", "parlant_api", Level::INFO));
    }

    #[test]
    fn nonsense_is_a_problem() {
        let pairs = [("LOG_LEVEL", "a=b=c"), ("LOG_FORMAT", "xml")];
        let mut settings = Settings::from_pairs(pairs);
        Config::from_settings(&mut settings);
        assert_eq!(settings.finish().unwrap_err().0.len(), 2);
    }
}
