//! Where backups are: a directory, or a bucket of any service that speaks S3.

use std::fmt;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, GetOptions, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, RetryConfig, WriteMultipart,
};
use tokio::sync::mpsc;

use crate::Error;
use crate::files::write_whole;

/// Largest manifest or evidence that is read, in bytes.
const SMALL_FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// Smallest part of an upload, in bytes. S3 asks for 5 MiB.
const PART_MIN: usize = 8 * 1024 * 1024;

/// Parts that an upload is cut into at most. S3 takes 10,000; what is expected may be too small by half.
const PARTS_MAX: u64 = 5_000;

/// Pieces that a download is ahead of its reader.
const PIECES_AHEAD: usize = 64;

/// How often a request is tried again, how long at most, and how long one without progress may take.
const RETRIES: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_secs(90);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_TIMEOUT: Duration = Duration::from_mins(5);

/// Most of what a service answers that is shown, in characters.
const ANSWER_LIMIT: usize = 400;

/// A place with the files of backups.
#[derive(Debug, Clone)]
pub enum Store {
    /// A directory.
    Dir(PathBuf),
    /// A bucket.
    Bucket(Bucket),
}

/// A bucket, or what begins with a prefix in it. Requests are tried again four times within a minute and a half.
#[derive(Clone)]
pub struct Bucket {
    client: Arc<AmazonS3>,
    prefix: Key,
    storage_class: Option<String>,
    /// For people.
    place: String,
}

/// One file in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name, without directory or prefix.
    pub name: String,
    /// In bytes.
    pub size: u64,
}

impl Store {
    /// Every file, in no order. A directory that is not there has none.
    pub async fn list(&self) -> Result<Vec<StoredFile>, Error> {
        match self {
            Self::Dir(dir) => {
                let dir = dir.clone();
                blocking(move || list_dir(&dir).or_else(not_found_is(Vec::new)).map_err(Error::io("list", &dir))).await
            }
            Self::Bucket(bucket) => bucket.list().await,
        }
    }

    /// The content of a small file; none when there is no such file.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let source = match self.open(name).await {
            Ok(source) => source,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let failed = self.failed("read", name);
        blocking(move || {
            let mut bytes = Vec::new();
            source.take(SMALL_FILE_LIMIT).read_to_end(&mut bytes).map_err(failed)?;
            Ok(Some(bytes))
        })
        .await
    }

    /// Reads a file from its beginning. The reader blocks; it may be used outside of the runtime's threads only.
    ///
    /// # Errors
    /// When it is not there, see [`Error::is_not_found`]. A download that breaks off is continued, a few times; then
    /// it is the reader's error.
    pub async fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
        match self {
            Self::Dir(dir) => {
                let path = dir.join(name);
                blocking(move || Ok(Box::new(std::fs::File::open(&path).map_err(Error::io("open", &path))?) as _)).await
            }
            Self::Bucket(bucket) => bucket.open(name).await,
        }
    }

    /// Writes a small file: all of it or nothing.
    pub async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Dir(dir) => {
                let path = dir.join(name);
                blocking(move || write_whole(&path, &bytes, 0o600)).await
            }
            Self::Bucket(bucket) => {
                let options = PutOptions { attributes: bucket.attributes(), ..PutOptions::default() };
                let put = bucket.client.put_opts(&bucket.key(name), bytes.into(), options).await;
                put.map(drop).map_err(|error| bucket.failed("write", name, &error))
            }
        }
    }

    /// Deletes a file. It may be gone already.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        match self {
            Self::Dir(dir) => {
                let path = dir.join(name);
                blocking(move || {
                    let gone = std::fs::remove_file(&path).or_else(not_found_is(|| ()));
                    gone.and_then(|()| path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all()))
                        .or_else(not_found_is(|| ()))
                        .map_err(Error::io("delete", &path))
                })
                .await
            }
            Self::Bucket(bucket) => match bucket.client.delete(&bucket.key(name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(bucket.failed("delete", name, &error)),
            },
        }
    }

    /// What `doing` with a file of this store failed like.
    pub(crate) fn failed(&self, doing: &'static str, name: &str) -> impl FnOnce(io::Error) -> Error + use<> {
        let place = match self {
            Self::Dir(dir) => dir.join(name),
            Self::Bucket(bucket) => PathBuf::from(format!("{}/{name}", bucket.place)),
        };
        Error::io(doing, place)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(dir) => dir.display().fmt(f),
            Self::Bucket(bucket) => f.write_str(&bucket.place),
        }
    }
}

/// Shows where it is, and no credentials.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.place).finish()
    }
}

impl Bucket {
    /// What begins with `prefix` in the bucket `name`, by what `object_store` calls its options. Nothing is asked yet.
    pub(crate) fn new(
        name: &str,
        prefix: &str,
        storage_class: Option<String>,
        options: [(&str, Option<String>); 7],
    ) -> Result<Self, String> {
        let unusable = |error: &dyn std::error::Error| first_characters(&error.to_string());
        let place = format!("s3://{}", [name, prefix].join("/").trim_end_matches('/'));
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(200),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: RETRY_TIMEOUT,
        };
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(READ_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT);
        let mut builder = AmazonS3Builder::new()
            .with_client_options(client)
            .with_bucket_name(name)
            .with_retry(retry)
            // The service compares each part with it.
            .with_checksum_algorithm(Checksum::SHA256);
        for (option, value) in options {
            if let Some(value) = value {
                let option = option.parse::<AmazonS3ConfigKey>().map_err(|error| unusable(&error))?;
                builder = builder.with_config(option, value);
            }
        }
        let client = Arc::new(builder.build().map_err(|error| unusable(&error))?);
        let prefix = Key::parse(prefix).map_err(|error| unusable(&error))?;
        Ok(Self { client, prefix, storage_class, place })
    }

    /// Begins to store an object of about `expected_size` bytes; it is there when the parts are finished. What a killed
    /// process leaves of one costs until the bucket's lifecycle rule for incomplete uploads removes it.
    pub(crate) async fn begin(&self, name: &str, expected_size: u64) -> Result<WriteMultipart, Error> {
        let options = PutMultipartOptions { attributes: self.attributes(), ..PutMultipartOptions::default() };
        let begun = self.client.put_multipart_opts(&self.key(name), options).await;
        let parts = begun.map_err(|error| self.failed("upload", name, &error))?;
        let part = usize::try_from(expected_size / PARTS_MAX).unwrap_or(usize::MAX).max(PART_MIN);
        Ok(WriteMultipart::new_with_chunk_size(parts, part))
    }

    async fn list(&self) -> Result<Vec<StoredFile>, Error> {
        let listed = self.client.list_with_delimiter((!self.prefix.is_root()).then_some(&self.prefix)).await;
        let listed = listed.map_err(|error| self.failed("list", "", &error))?;
        let files = listed.objects.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            Some(StoredFile { name, size: object.size })
        });
        Ok(files.collect())
    }

    async fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
        let got = self.client.get_opts(&self.key(name), GetOptions::default()).await;
        let mut pieces = got.map_err(|error| self.failed("read", name, &error))?.into_stream();
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        tokio::spawn(async move {
            while let Some(piece) = pieces.next().await {
                let piece = piece.map(Vec::from).map_err(|error| io::Error::other(explain(&error)));
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        });
        Ok(Box::new(Download { receiver, piece: Cursor::default() }))
    }

    fn key(&self, name: &str) -> Key {
        self.prefix.clone().join(name)
    }

    fn attributes(&self) -> Attributes {
        self.storage_class.iter().map(|class| (Attribute::StorageClass, class.clone())).collect()
    }

    pub(crate) fn failed(&self, doing: &'static str, name: &str, error: &object_store::Error) -> Error {
        let place = format!("{}/{name}", self.place).trim_end_matches('/').to_owned();
        match error {
            object_store::Error::NotFound { .. } => {
                Error::Io { doing, path: place.into(), source: io::Error::new(io::ErrorKind::NotFound, explain(error)) }
            }
            _ => Error::Store { doing, place, reason: explain(error) },
        }
    }
}

/// What a task downloads, for a thread that blocks.
struct Download {
    receiver: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = Cursor::new(piece?),
                None => return Ok(0),
            }
        }
    }
}

fn list_dir(dir: &Path) -> io::Result<Vec<StoredFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        match entry.metadata() {
            Ok(found) if found.is_file() => files.push(StoredFile { name, size: found.len() }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

fn not_found_is<T>(nothing: impl FnOnce() -> T) -> impl FnOnce(io::Error) -> io::Result<T> {
    |error| if error.kind() == io::ErrorKind::NotFound { Ok(nothing()) } else { Err(error) }
}

/// Runs what waits for the disk outside of the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The cause in one line. Requests carry their credentials in headers, so no message has them.
pub(crate) fn explain(error: &object_store::Error) -> String {
    let cause = match error {
        object_store::Error::NotFound { source, .. } => format!("it is not there: {source}"),
        object_store::Error::PermissionDenied { source, .. } => format!("the credentials do not allow it: {source}"),
        object_store::Error::Unauthenticated { source, .. } => format!("the credentials are refused: {source}"),
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    // A service answers in XML, of which two elements are for people.
    match cause.split_once("<?xml") {
        Some((before, xml)) => {
            let element = |name: &str| {
                let (_, rest) = xml.split_once(&format!("<{name}>"))?;
                rest.split_once("</").map(|(text, _)| text)
            };
            let said = [element("Code"), element("Message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
            first_characters(&format!("{before}{said}"))
        }
        None => first_characters(&cause),
    }
}

fn first_characters(text: &str) -> String {
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    line.chars().take(ANSWER_LIMIT).collect()
}
