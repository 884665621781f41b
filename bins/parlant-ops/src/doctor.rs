use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use parlant_ops_core::doctor::{Config, Selection, diagnose};
use parlant_ops_core::load_test::TokenSources;
use parlant_settings::Settings;

use crate::Exit;
use crate::cli::DoctorArguments;

/// Where nobody knows how wide the terminal is.
const COLUMNS: usize = 120;

/// Looks at the deployment and says what is wrong with it.
pub(crate) fn doctor(arguments: &DoctorArguments) -> anyhow::Result<Exit> {
    let mut settings = Settings::from_process();
    let token = TokenSources { file: arguments.token_file.clone(), dev: None }.find(&mut settings)?;
    let mut config = Config::from_settings(settings).map_err(anyhow::Error::msg)?;
    config.token = token;
    config.workspace.clone_from(&arguments.workspace);
    config.selection = Selection { only: arguments.only.clone(), skip: arguments.skip.clone() };
    config.server_program = sibling("parlant-server");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    if io::stderr().is_terminal() {
        crate::say("Looking. It takes seconds where nothing is wrong, and 25 at most.");
    }
    let diagnosis = runtime.block_on(diagnose(&config));
    let text = if arguments.json { serde_json::to_string(&diagnosis)? + "\n" } else { diagnosis.text(COLUMNS) };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(match diagnosis.findings.is_empty() {
        true => Exit::Good,
        false if diagnosis.is_broken() => Exit::Failed,
        false => Exit::Warnings,
    })
}

/// The program of that name in the directory of this one.
fn sibling(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(name);
    path.is_file().then_some(path)
}
