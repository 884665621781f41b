//! An archive's bytes back: counted and hashed as stored, decrypted, decompressed. Every byte is read, whatever fails.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sha2::{Digest as _, Sha256};

use crate::manifest::{Archive, hex};
use crate::progress::Reporter;
use crate::tools::Complaint;
use crate::{Damage, Error};

const BLOCK: usize = 256 * 1024;

/// Where the decoded bytes go: to a program that may end early, and the first of them to a file as well.
pub(crate) struct Sink {
    pub(crate) program: Option<io::PipeWriter>,
    pub(crate) head: Option<File>,
    /// Bytes that still go to `head`.
    pub(crate) head_left: usize,
}

/// Decodes `archive` from `source` into `sink`, on a thread that may block.
///
/// # Errors
/// When the source, or a program, or the file system fails: that says nothing about the backup.
pub(crate) fn decode(
    source: Box<dyn Read + Send>,
    failed: impl FnOnce(io::Error) -> Error,
    archive: &Archive,
    identity: Option<&Path>,
    sink: Sink,
    progress: &Reporter,
) -> Result<Option<Damage>, Error> {
    let mut stored = Stored { source, digest: Sha256::new(), length: 0, failure: None };
    let (decoded, encryption) = match (&archive.encryption, identity) {
        (None, _) => {
            let decoded = decompress(&mut stored, sink, progress);
            stored.drain();
            (decoded, None)
        }
        (Some(_), Some(identity)) => decrypt(&mut stored, identity, sink, progress)?,
        (Some(_), None) => {
            return Err(Error::Refused(format!(
                "{} is encrypted: set BACKUP_AGE_IDENTITY to the path of an age identity file",
                archive.file
            )));
        }
    };
    if let Some(error) = stored.failure {
        return Err(failed(error));
    }
    // What was stored comes first: everything else follows from it.
    if stored.length != archive.size_bytes {
        return Ok(Some(Damage::Size { expected: archive.size_bytes, found: stored.length }));
    }
    if hex(&stored.digest.finalize()) != archive.sha256 {
        return Ok(Some(Damage::Digest));
    }
    if let Some(reason) = encryption {
        return Ok(Some(Damage::Decryption { reason }));
    }
    match decoded {
        Ok(length) if length == archive.plain_size_bytes => Ok(None),
        Ok(found) => Ok(Some(Damage::PlainSize { expected: archive.plain_size_bytes, found })),
        Err(Failed::Decoding(error)) => Ok(Some(Damage::Compression { reason: error.to_string() })),
        Err(Failed::Writing(error)) => Err(Error::io("write", "the beginning of the dump")(error)),
    }
}

enum Failed {
    Decoding(io::Error),
    Writing(io::Error),
}

/// What is stored, counted and hashed as it passes. That it ends early is kept, and no error for those who read.
struct Stored {
    source: Box<dyn Read + Send>,
    digest: Sha256,
    length: u64,
    failure: Option<io::Error>,
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Ok(0);
        }
        match self.source.read(buffer) {
            Ok(read) => {
                self.digest.update(&buffer[..read]);
                self.length += read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.failure = Some(error);
                Ok(0)
            }
        }
    }
}

impl Stored {
    /// Reads what the decoder did not want, for the digest.
    fn drain(&mut self) {
        // Its own errors are kept in it.
        let _ = io::copy(self, &mut io::sink());
    }
}

/// Decompresses to the end; a program that does not listen any more is no reason to stop.
fn decompress(from: impl Read, mut sink: Sink, progress: &Reporter) -> Result<u64, Failed> {
    let buffered = io::BufReader::with_capacity(BLOCK, from);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered).map_err(Failed::Decoding)?;
    let mut buffer = vec![0; BLOCK];
    let mut length = 0;
    loop {
        let read = match decoder.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failed::Decoding(error)),
        };
        length += read as u64;
        progress.advance(read as u64);
        if let Some(head) = &mut sink.head {
            let part = &buffer[..read.min(sink.head_left)];
            head.write_all(part).map_err(Failed::Writing)?;
            sink.head_left -= part.len();
        }
        if let Some(program) = &mut sink.program
            && program.write_all(&buffer[..read]).is_err()
        {
            // Its exit status tells why.
            sink.program = None;
        }
    }
}

type Decrypted = (Result<u64, Failed>, Option<String>);

/// Has `age` decrypt what is stored, and decompresses that; also what `age` complained of.
fn decrypt(stored: &mut Stored, identity: &Path, sink: Sink, progress: &Reporter) -> Result<Decrypted, Error> {
    let mut command = Command::new("age");
    command.args(["--decrypt", "--identity"]).arg(identity);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut age = command.spawn().map_err(|error| Error::program("age", format!("cannot be started: {error}")))?;
    let (Some(mut to_age), Some(from_age)) = (age.stdin.take(), age.stdout.take()) else {
        return Err(Error::program("age", "has no standard input or output"));
    };
    let decoded = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || {
            // When `age` has had enough, the rest is read all the same.
            let _ = io::copy(stored, &mut to_age);
            drop(to_age);
            stored.drain();
        });
        let decoded = decompress(from_age, sink, progress);
        if let Err(panic) = feeder.join() {
            std::panic::resume_unwind(panic);
        }
        decoded
    });
    Ok((decoded, complaint(age)?))
}

/// What the program complained of, if it failed.
fn complaint(age: Child) -> Result<Option<String>, Error> {
    let ended = age.wait_with_output().map_err(|error| Error::program("age", error.to_string()))?;
    Ok((!ended.status.success()).then(|| Complaint(&ended.stderr).to_string()))
}
