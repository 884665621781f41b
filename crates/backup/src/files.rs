//! Files that are whole or not there.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::name::TEMPORARY;

/// What a file is called until it is whole.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// Writes a file under its temporary name, and makes sure that the disk has it.
pub(crate) fn prepare(path: &Path, bytes: &[u8], mode: u32) -> Result<Temporary, Error> {
    let temporary = Temporary(temporary(path));
    let written = File::create(&temporary.0).and_then(|mut file| {
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(Error::io("write", &temporary.0))?;
    Ok(temporary)
}

/// Writes a file that readers see all of, or nothing.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    prepare(path, bytes, mode)?.publish(path)
}

/// A file that is not whole yet. It is deleted when this is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// An empty file for what will be at `path`, that only its owner may read.
    pub(crate) fn create(path: &Path) -> Result<(Self, File), Error> {
        let temporary = temporary(path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        Ok((Self(temporary.clone()), file.map_err(Error::io("create", temporary))?))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its name, for good.
    pub(crate) fn publish(self, path: &Path) -> Result<(), Error> {
        publish(&self.0, path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After it was published there is none.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Gives a finished file its name, for good.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<(), Error> {
    std::fs::rename(temporary, path).map_err(Error::io("rename", temporary))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("write", dir))
}
