//! `parlant-ops alerts`: the rules as a file, what the server told and has to tell, and whether anybody would hear it.

mod list;
mod render;
mod test;

use parlant_alerting::Config;
use parlant_settings::Settings;

use crate::Exit;
use crate::cli::AlertsCommand;

pub(crate) fn run(command: &AlertsCommand) -> anyhow::Result<Exit> {
    match command {
        AlertsCommand::Render(arguments) => render::render(arguments),
        AlertsCommand::List(arguments) => list::list(&config()?, arguments),
        AlertsCommand::Test(arguments) => test::test(&config()?, arguments),
    }
}

/// What the server would work with.
fn config() -> anyhow::Result<Config> {
    let mut settings = Settings::from_process();
    let config = Config::from_settings(&mut settings);
    settings.finish()?;
    Ok(config)
}
