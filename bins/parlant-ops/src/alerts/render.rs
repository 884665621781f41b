use std::fs;
use std::io::{self, Write as _};

use anyhow::{Context as _, ensure};

use crate::Exit;
use crate::cli::RenderArguments;

/// Writes Prometheus' rule file, or compares it with the one that is there.
pub(crate) fn render(arguments: &RenderArguments) -> anyhow::Result<Exit> {
    let mut rules = parlant_alerting::rules();
    rules.retain(|rule| !arguments.without.iter().any(|name| name == rule.name));
    let base = &arguments.runbook_base;
    let runbooks =
        if base.contains("{page}") { base.clone() } else { format!("{}/{{page}}", base.trim_end_matches('/')) };
    let file = parlant_alerting::rule_file(&rules, &runbooks);
    match &arguments.output {
        None => io::stdout().lock().write_all(file.as_bytes())?,
        Some(path) if arguments.check => {
            let found = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            ensure!(found == file, "{} is not what would be written", path.display());
        }
        Some(path) => fs::write(path, file).with_context(|| path.display().to_string())?,
    }
    Ok(Exit::Good)
}
