use std::time::Duration;

use parlant_settings::{FromSetting, Settings, Variable};

/// How often everything is checked.
const HEALTH_CHECK_INTERVAL: Variable =
    Variable::new("HEALTH_CHECK_INTERVAL", "How often everything is checked; what seems to change is checked at once")
        .default("10s");
/// Who sees `details` and `error`.
const HEALTH_DETAILS: Variable = Variable::new(
    "HEALTH_DETAILS",
    "Who sees `details` and `error` of the health report: `public` or `authenticated` (callers with a valid session)",
)
.default("public");
/// The address that tells whether Sim works.
pub const SIM_HEALTH_PATH: Variable =
    Variable::new("SIM_HEALTH_PATH", "What is asked of Sim, under SIM_BASE_URL, to see whether it works")
        .default("/api/health");

/// The variables that this crate reads.
pub const VARIABLES: &[Variable] = &[HEALTH_CHECK_INTERVAL, HEALTH_DETAILS, SIM_HEALTH_PATH];

/// The shortest interval: every round costs the dependencies something.
const SHORTEST: Duration = Duration::from_secs(1);

/// How health is watched and told.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often everything is checked.
    pub interval: Duration,
    /// Who sees `details` and `error`.
    pub details: Audience,
    /// What is asked of Sim, under its address.
    pub sim_health_path: String,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// Everybody.
    #[default]
    Public,
    /// Callers with a valid session.
    Authenticated,
}

impl Default for Config {
    /// What holds when nothing is configured.
    fn default() -> Self {
        Self::from_settings(&mut Settings::from_pairs::<&str, &str>([]))
    }
}

impl Config {
    /// Reads [`VARIABLES`].
    pub fn from_settings(settings: &mut Settings) -> Self {
        let interval = settings.value(&HEALTH_CHECK_INTERVAL);
        if interval < SHORTEST {
            settings.problem(&HEALTH_CHECK_INTERVAL, "must be at least 1s");
        }
        Self { interval, details: settings.value(&HEALTH_DETAILS), sim_health_path: settings.value(&SIM_HEALTH_PATH) }
    }
}

impl FromSetting for Audience {
    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "public" => Ok(Self::Public),
            "authenticated" => Ok(Self::Authenticated),
            _ => Err("must be public or authenticated".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Config, usize) {
        let mut settings = Settings::from_pairs(pairs.iter().copied());
        let config = Config::from_settings(&mut settings);
        (config, settings.finish().err().map_or(0, |problems| problems.to_string().lines().count()))
    }

    #[test]
    fn nothing_configured_is_the_default() {
        let (config, problems) = read(&[]);
        assert_eq!((format!("{config:?}"), problems), (format!("{:?}", Config::default()), 0));
    }

    #[test]
    fn values_are_taken_over_and_wrong_ones_named() {
        let (config, problems) = read(&[("HEALTH_CHECK_INTERVAL", "1m"), ("HEALTH_DETAILS", "authenticated")]);
        assert_eq!((config.interval, config.details, problems), (Duration::from_mins(1), Audience::Authenticated, 0));
        assert_eq!(read(&[("HEALTH_CHECK_INTERVAL", "500ms"), ("HEALTH_DETAILS", "nobody")]).1, 2);
    }
}
