use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};

use parlant_settings::{FromSetting, Settings, Variable};
use rustix::fs::{Access, access};
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
const LOG_LEVEL_FILE: Variable = Variable::new(
    "LOG_LEVEL_FILE",
    "File that says what LOG_LEVEL is while it is there, so that the level can be changed in a running server: write it, then SIGHUP",
);
const LOG_FORMAT: Variable =
    Variable::new("LOG_FORMAT", "`json`, `text`, or `auto`: text on a terminal, JSON otherwise").default("auto");
const LOG_FILE: Variable = Variable::new(
    "LOG_FILE",
    "File that the server logs to as well, always JSON, opened anew on SIGHUP; created, with its folders, where missing",
);

/// The variables that this crate reads.
pub const VARIABLES: &[Variable] = &[LOG_LEVEL, LOG_LEVEL_FILE, LOG_FORMAT, LOG_FILE];

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
    /// What a line on standard error looks like.
    pub format: Format,
    /// A file that gets every line as JSON, beside standard error.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads `LOG_LEVEL`, `LOG_LEVEL_FILE` and `LOG_FORMAT`: standard error alone.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let given = settings.value::<Filter>(&LOG_LEVEL);
        let filter = level_of_file(settings).unwrap_or(given);
        Self { filter: filter.0, format: settings.value(&LOG_FORMAT), file: None }
    }

    /// Reads `LOG_FILE` too, for a program that runs for long.
    #[must_use]
    pub fn with_file(mut self, settings: &mut Settings) -> Self {
        self.file = settings.optional(&LOG_FILE);
        if let Some(Err(error)) = self.file.as_deref().map(writable) {
            settings.problem(&LOG_FILE, format!("cannot be written: {error}"));
        }
        self
    }
}

/// What `LOG_LEVEL_FILE` says, if it is there and says something.
fn level_of_file(settings: &mut Settings) -> Option<Filter> {
    let path: PathBuf = settings.optional(&LOG_LEVEL_FILE)?;
    let outcome = match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => return None,
        Ok(text) => Filter::from_setting(text.trim()),
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    outcome.map_err(|expected| settings.problem(&LOG_LEVEL_FILE, expected)).ok()
}

/// Whether the file can be opened or made. Makes nothing: whoever only looks at the configuration may be another user.
fn writable(path: &Path) -> std::io::Result<()> {
    let folder = path.ancestors().skip(1).find(|folder| folder.as_os_str().is_empty() || folder.exists());
    match folder {
        _ if path.is_dir() => Err(ErrorKind::IsADirectory.into()),
        _ if path.exists() => Ok(access(path, Access::WRITE_OK | Access::READ_OK)?),
        Some(folder) if !folder.as_os_str().is_empty() => Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?),
        _ => Ok(access(".", Access::WRITE_OK)?),
    }
}

/// What may be asked of others' targets at most: more than DEBUG shows what goes over their connections, and the
/// PostgreSQL client shows the parameters of statements, with tokens and messages, at DEBUG.
fn held_back(asked: &Targets) -> Targets {
    let most = |target: &str| match target {
        ours if ours.starts_with(OUR_TARGETS) => LevelFilter::TRACE,
        client if client.starts_with("tokio_postgres") => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // Who asks for more of some targets wants no less of the others.
    let rest = asked.default_level().unwrap_or(LevelFilter::WARN);
    let always = [(OUR_TARGETS, rest), ("tokio_postgres", rest)];
    let named = always.into_iter().chain(asked.iter());
    let held: Targets = named.map(|(target, level)| (target, level.min(most(target)))).collect();
    held.with_default(rest.min(LevelFilter::DEBUG))
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
        Ok(Self(held_back(&targets)))
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
        assert!(enabled("warn,reqwest=debug", "reqwest::connect", Level::DEBUG));
        assert!(!enabled("warn,reqwest=debug", "parlant_api", Level::INFO));
        assert!(enabled("parlant_db_pool=debug", "parlant_api", Level::WARN), "the context of requests is at ERROR");
        assert!(!enabled("off", "parlant_api", Level::ERROR));
    }

    #[test]
    fn libraries_cannot_be_made_to_show_what_they_send() {
        for level in ["TRACE", "trace,x=trace", "tokio_postgres=trace,tokio_postgres::query=trace", "tokio=trace"] {
            assert!(!enabled(level, "tokio_postgres::query", Level::DEBUG), "{level}");
            assert!(!enabled(level, "hyper::proto", Level::TRACE), "{level}");
        }
        assert!(enabled("trace,x=trace", "parlant_api::routes", Level::TRACE));
    }

    #[test]
    fn a_file_may_say_the_level_while_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("level");
        let read = || {
            let pairs = [("LOG_LEVEL", "INFO"), ("LOG_LEVEL_FILE", path.to_str().unwrap())];
            let mut settings = Settings::from_pairs(pairs);
            let filter = Config::from_settings(&mut settings).filter;
            (filter.would_enable("parlant_api", &Level::DEBUG), settings.finish().is_ok())
        };
        assert_eq!(read(), (false, true));
        std::fs::write(&path, "debug\n").unwrap();
        assert_eq!(read(), (true, true));
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(read(), (false, true));
        std::fs::write(&path, "a=b=c").unwrap();
        assert_eq!(read(), (false, false));
    }

    #[test]
    fn a_log_file_that_cannot_be_written_is_a_problem_and_looking_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let problems = |path: &Path| {
            let mut settings = Settings::from_pairs([("LOG_FILE", path.to_str().unwrap())]);
            let config = Config::from_settings(&mut settings).with_file(&mut settings);
            assert_eq!(config.file.as_deref(), Some(path));
            settings.finish().err().map_or(String::new(), |problems| problems.to_string())
        };
        let file = folder.path().join("new/folder/log");
        assert_eq!(problems(&file), "");
        assert_eq!(problems(Path::new("log")), "");
        assert!(!folder.path().join("new").exists());
        std::fs::write(folder.path().join("file"), "").unwrap();
        for bad in [folder.path(), &folder.path().join("file/log")] {
            assert!(problems(bad).starts_with("LOG_FILE: cannot be written: "), "{}", bad.display());
        }
    }

    #[test]
    fn nonsense_is_a_problem() {
        let pairs = [("LOG_LEVEL", "a=b=c"), ("LOG_FORMAT", "xml")];
        let mut settings = Settings::from_pairs(pairs);
        Config::from_settings(&mut settings);
        assert_eq!(settings.finish().unwrap_err().0.len(), 2);
    }
}
