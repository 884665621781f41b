use std::{fs, io, path::Path};

use crate::{Error, Installation};

/// What a persistent cluster kept from its last run.
pub(crate) struct Memory {
    /// The superuser's.
    pub(crate) password: String,
    /// Taken again if it is free, so that yesterday's URL works today.
    pub(crate) port: Option<u16>,
}

impl Memory {
    /// Reads it, and sees to it that the binaries fit the data. `None`: there are no data yet.
    pub(crate) fn recall(home: &Path, installation: &Installation) -> Result<Option<Self>, Error> {
        let version = home.join("data/PG_VERSION");
        let data = match fs::read_to_string(&version) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &version)(error)),
        };
        if data != installation.major_version() {
            return Err(Error::Refused(format!(
                "the data in {} were written by PostgreSQL {data}, but the binaries in {} are PostgreSQL {}; point \
                 PG_BIN_DIR at the binaries of version {data}, move the data with pg_upgrade, or remove the directory to \
                 start over",
                home.display(),
                installation.bin_dir().display(),
                installation.major_version()
            )));
        }
        let path = home.join("password");
        let password = fs::read_to_string(&path).map_err(|error| Error::password(&path, error))?.trim().to_owned();
        let port = fs::read_to_string(home.join("port")).ok().and_then(|text| text.trim().parse().ok());
        Ok(Some(Self { password, port }))
    }
}
