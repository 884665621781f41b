//! The copy in the bucket, made while the archive is written.

use std::io;
use std::path::Path;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use crate::store::explain;
use crate::{Bucket, Error};

const BLOCK: usize = 1024 * 1024;

/// Parts of one upload that are on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// Bytes of an archive that can be read from its file, and whether they are all and it is a backup.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
}

/// Stores the file at `path` as it grows. It reads what is on disk instead of sharing the dump's stream, so that a
/// slow service does not keep the database's snapshot open.
///
/// Nothing stays in the bucket when the writer goes before all of it is there.
pub(crate) async fn follow(
    bucket: &Bucket,
    name: &str,
    path: &Path,
    expected_size: u64,
    mut written: watch::Receiver<Written>,
) -> Result<(), Error> {
    let mut file = File::open(path).await.map_err(Error::io("open", path))?;
    let mut parts = bucket.begin(name, expected_size).await?;
    let sending = async {
        let mut block = vec![0; BLOCK];
        let mut sent = 0;
        loop {
            let there = *written.borrow_and_update();
            while sent < there.bytes {
                let length = file.read(&mut block).await.map_err(Error::io("read", path))?;
                if length == 0 {
                    return Err(Error::io("read", path)(io::ErrorKind::UnexpectedEof.into()));
                }
                let room = parts.wait_for_capacity(PARTS_AT_ONCE).await;
                room.map_err(|error| bucket.failed("upload", name, &error))?;
                parts.write(&block[..length]);
                sent += length as u64;
            }
            if there.complete {
                return Ok(());
            }
            if written.changed().await.is_err() {
                return Err(Error::Interrupted("the end of the dump".to_owned()));
            }
        }
    };
    if let Err(error) = sending.await {
        // Without it the service would hold what it has; for readers it is not there either way.
        if let Err(error) = parts.abort().await {
            tracing::warn!(object = name, "An unfinished upload stays: {}", explain(&error));
        }
        return Err(error);
    }
    let finished = parts.finish().await;
    finished.map(drop).map_err(|error| bucket.failed("upload", name, &error))
}
