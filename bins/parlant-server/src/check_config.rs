use std::io::Write as _;

use parlant_settings::Settings;

use crate::VARIABLES;
use crate::configuration::Configuration;

/// Prints what holds for each variable, secrets redacted, unless something is wrong.
pub(crate) fn run(mut settings: Settings) -> anyhow::Result<()> {
    let effective: Vec<_> =
        VARIABLES.iter().flat_map(|group| group.variables).map(|variable| settings.effective(variable)).collect();
    Configuration::from_settings(&mut settings);
    settings.finish()?;
    let mut out = std::io::stdout().lock();
    for variable in effective {
        let value = variable.value.as_deref().unwrap_or("-");
        writeln!(out, "{:<32} {:<11} {value}", variable.name, variable.origin)?;
    }
    Ok(())
}
