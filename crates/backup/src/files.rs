//! Files that are whole or not there.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::Error;
use crate::name::TEMPORARY;

/// Writes a file under a temporary name, makes sure that the disk has it, and gives it its name: readers see all of
/// it or nothing.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY);
    let temporary = Path::new(&temporary);
    let written = File::create(temporary).and_then(|mut file| {
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(Error::io("write", temporary)).and_then(|()| publish(temporary, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(temporary);
    })
}

/// Gives a finished file its name, for good.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<(), Error> {
    std::fs::rename(temporary, path).map_err(Error::io("rename", temporary))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("write", dir))
}

/// A new file that only its owner may read.
pub(crate) fn create_private(path: &Path) -> Result<File, Error> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(Error::io("create", path))
}
