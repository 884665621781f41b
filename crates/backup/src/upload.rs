//! The copy in the bucket, made while the archive is written.

use std::path::Path;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{oneshot, watch};

use crate::dump::Written;
use crate::{Bucket, Error};

const BLOCK: usize = 1024 * 1024;

/// Stores the file at `path` as it grows. It reads what is on disk instead of sharing the dump's stream, so that a
/// slow service does not keep the database's snapshot open.
///
/// When all of it is there it waits for `permission`, because a file may be complete and yet no backup; refused, or
/// with the writer gone, nothing stays in the bucket.
pub(crate) async fn follow(
    bucket: &Bucket,
    name: &str,
    path: &Path,
    expected_size: u64,
    mut written: watch::Receiver<Written>,
    permission: oneshot::Receiver<()>,
) -> Result<(), Error> {
    let mut file = File::open(path).await.map_err(Error::io("open", path))?;
    let mut upload = bucket.upload(name, expected_size).await?;
    let mut block = vec![0; BLOCK];
    let mut sent = 0;
    loop {
        let there = *written.borrow_and_update();
        while sent < there.bytes {
            let length = match file.read(&mut block).await {
                Ok(length) if length > 0 => length,
                nothing => {
                    upload.abort().await;
                    let source = nothing.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into());
                    return Err(Error::io("read", path)(source));
                }
            };
            upload = upload.send(&block[..length]).await?;
            sent += length as u64;
        }
        if there.complete || written.changed().await.is_err() {
            break;
        }
    }
    if permission.await.is_err() {
        upload.abort().await;
        return Err(Error::Interrupted("the end of the dump".to_owned()));
    }
    upload.finish().await
}
