use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::{Error, LoadOptions, Scenario};

/// Longest file of scenarios, in bytes.
const SIZE_LIMIT: u64 = 1024 * 1024;
const SCENARIO_LIMIT: usize = 100;
const NAME_LIMIT: usize = 100;
const WEIGHT_LIMIT: u32 = 1000;

/// Scenarios from a file (JSON).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    /// The load of those that say nothing of their own, and of those that run together.
    #[serde(default)]
    pub load: LoadOptions,
    /// At least one; their names differ.
    pub scenarios: Vec<Scenario>,
}

impl ScenarioFile {
    /// Reads and validates the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read; when it is wrong, with the field and, for what is wrong in itself, the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let mut text = String::new();
        fs::File::open(path).map_err(failed)?.take(SIZE_LIMIT + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > SIZE_LIMIT {
            return Err(failed(io::Error::other("it is larger than a megabyte")));
        }
        let wrong = |reason| Error::Scenarios { path: path.to_owned(), reason };
        let file: Self =
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text)).map_err(|error| {
                match error.path().to_string() {
                    field if field == "." => wrong(error.inner().to_string()),
                    field => wrong(format!("{field}: {}", error.inner())),
                }
            })?;
        file.validate().map_err(wrong)?;
        Ok(file)
    }

    /// What a field alone cannot know.
    fn validate(&self) -> Result<(), String> {
        if !(1..=SCENARIO_LIMIT).contains(&self.scenarios.len()) {
            return Err(format!("scenarios: must be 1 to {SCENARIO_LIMIT}"));
        }
        for (index, scenario) in self.scenarios.iter().enumerate() {
            let wrong = |field: &str, what: &str| Err(format!("scenarios[{index}].{field}: {what}"));
            if !(1..=NAME_LIMIT).contains(&scenario.name.len()) || scenario.name.contains(char::is_control) {
                return wrong("name", "must be 1 to 100 characters on one line");
            }
            if self.scenarios[..index].iter().any(|other| other.name == scenario.name) {
                return wrong("name", "is another scenario's, too");
            }
            if scenario.expect.iter().any(|status| !(200..600).contains(status)) {
                return wrong("expect", "must be statuses from 200 to 599");
            }
            if scenario.weight.is_some_and(|weight| !(1..=WEIGHT_LIMIT).contains(&weight)) {
                return wrong("weight", "must be from 1 to 1000");
            }
            if scenario.weight.is_some() && scenario.load != LoadOptions::default() {
                return wrong("load", "scenarios with a weight share the load at the top of the file");
            }
        }
        Ok(())
    }
}
