use std::path::PathBuf;

use parlant_settings::{Problem, Settings};

use crate::doctor::Selection;

/// Where to look, from the settings of the server.
#[derive(Debug)]
pub struct Config {
    /// The bridge's database.
    pub(crate) database: parlant_db_pool::Config,
    /// What is wrong with the settings that are read here.
    pub(crate) problems: Vec<Problem>,
    /// The server's program, which knows all settings; without it only some are looked at.
    pub server_program: Option<PathBuf>,
    /// What is wanted.
    pub selection: Selection,
}

impl Config {
    /// Reads what the server reads. What is wrong with it becomes a finding.
    #[must_use]
    pub fn from_settings(mut settings: Settings) -> Self {
        let mut database = parlant_db_pool::Config::from_settings(&mut settings);
        // What the database's own administrators see of this.
        "parlant-doctor".clone_into(&mut database.application_name);
        let problems = settings.finish().map_or_else(|problems| problems.0, |()| Vec::new());
        Self { database, problems, server_program: None, selection: Selection::default() }
    }
}
