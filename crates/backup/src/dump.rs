//! `pg_dump` → zstd → perhaps age → a file, with nothing in between on disk.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use parlant_embedded_postgres::Program;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStderr, Command};
use tokio::sync::watch;

use crate::manifest::hex;
use crate::progress::Reporter;
use crate::source::Source;
use crate::tools::{Complaint, command};
use crate::upload::Written;
use crate::{Error, Options};

/// zstd's default: on a dump, level 1 is no faster, because the server's COPY is what takes the time.
const LEVEL: i32 = 3;

const BLOCK: usize = 256 * 1024;

/// How long `pg_dump` waits for a table that somebody changes the shape of.
const LOCK_WAIT: &str = "--lock-wait-timeout=60s";

/// What archives of `pg_dump` begin with.
const MAGIC: &[u8] = b"PGDMP";

/// What is dumped, and how.
pub(crate) struct Job<'a> {
    pub(crate) tool: &'a Program,
    pub(crate) source: &'a Source,
    pub(crate) options: Options,
    pub(crate) recipients: &'a [String],
}

/// What a finished archive is.
pub(crate) struct Dumped {
    pub(crate) plain_size: u64,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

impl Job<'_> {
    /// Writes the archive to `file`, at `path`, and makes sure that the disk has it. `written` counts its bytes.
    pub(crate) async fn run(
        &self,
        file: File,
        path: &Path,
        written: watch::Sender<Written>,
        progress: &Reporter,
    ) -> Result<Dumped, Error> {
        let Source { config, snapshot, scope, .. } = self.source;
        let pipe = || io::pipe().map_err(Error::io("make a pipe for", path));
        let (dump, to_us) = pipe()?;
        let mut command = command(self.tool, &config.libpq_environment().map_err(parlant_db_pool::Error::from)?);
        command.args(["--format=custom", "--compress=0", "--no-password", "--verbose", LOCK_WAIT]);
        command.arg(format!("--snapshot={snapshot}"));
        if self.options.no_privileges {
            command.arg("--no-privileges");
        }
        if scope.only_parlant {
            command.arg("--table=public.parlant_*");
        }
        command.args(scope.without_data.iter().map(|table| format!("--exclude-table-data={table}")));
        let pg_dump = Child::start("pg_dump", command, Stdio::null(), to_us.into())?;

        let sink = Sink { file, digest: Sha256::new(), size: 0, written };
        let counter = progress.clone();
        let (age, work) = if self.recipients.is_empty() {
            (None, tokio::task::spawn_blocking(move || compress(dump, sink, &counter)?.finish()))
        } else {
            let ((age_reads, to_age), (from_age, age_writes)) = (pipe()?, pipe()?);
            let age = Child::start("age", age(self.recipients), age_reads.into(), age_writes.into())?;
            (Some(age), tokio::task::spawn_blocking(move || encrypt(dump, to_age, from_age, sink, &counter)))
        };
        let age = async {
            match age {
                Some(age) => age.end(progress).await,
                None => Ok(()),
            }
        };
        let (worked, dumped, encrypted) = tokio::join!(work, pg_dump.end(progress), age);
        let worked = worked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        // Each of the three fails when its neighbour does; who complains of something else is the cause.
        let cause = match worked {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(Error::io("write", path)(error)),
            other => other,
        };
        encrypted?;
        dumped?;
        let (dumped, is_archive) = cause.map_err(Error::io("write", path))?;
        if !is_archive {
            return Err(Error::program("pg_dump", "succeeded, but what it wrote is no archive"));
        }
        Ok(dumped)
    }
}

/// Fails unless everybody in `recipients` can be encrypted to, which costs nothing to find out before the dump.
pub(crate) async fn check_recipients(recipients: &[String]) -> Result<(), Error> {
    if recipients.is_empty() {
        return Ok(());
    }
    Child::start("age", age(recipients), Stdio::null(), Stdio::null())?.end(&Reporter::default()).await
}

/// The program `age`, not the crate: that one brings 81 others, and no recipients of plugins.
fn age(recipients: &[String]) -> Command {
    let mut command = Command::new("age");
    command.arg("--encrypt").args(recipients.iter().flat_map(|one| ["--recipient", one])).kill_on_drop(true);
    command
}

/// A program in the pipeline. It is killed when it is dropped.
pub(crate) struct Child {
    program: &'static str,
    process: tokio::process::Child,
    stderr: ChildStderr,
}

impl Child {
    /// The ends of pipes that the program was given are closed in this process when this returns.
    pub(crate) fn start(
        program: &'static str,
        mut command: Command,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Self, Error> {
        let spawned = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn();
        let mut process = spawned.map_err(|error| {
            let path = command.as_std().get_program().display();
            Error::program(program, format!("cannot start {path}: {error}"))
        })?;
        let stderr = process.stderr.take().ok_or_else(|| Error::program(program, "has no standard error"))?;
        Ok(Self { program, process, stderr })
    }

    /// Waits for the end of the program, and tells its table on the way.
    pub(crate) async fn end(mut self, progress: &Reporter) -> Result<(), Error> {
        let mut complaint = Vec::new();
        let mut lines = BufReader::new(self.stderr).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let text = String::from_utf8_lossy(&line);
            match text.strip_prefix("pg_dump: ") {
                Some(message)
                    if !["error", "warning", "detail", "hint"].iter().any(|kind| message.starts_with(kind)) =>
                {
                    if let Some(table) = message.strip_prefix("dumping contents of table ") {
                        progress.table(table);
                    }
                }
                _ => complaint.extend(line.iter().copied().chain([b'\n'])),
            }
        }
        let status: ExitStatus =
            self.process.wait().await.map_err(|error| Error::program(self.program, error.to_string()))?;
        let complaint = Complaint(&complaint).to_string();
        if !status.success() {
            return Err(Error::program(self.program, format!("{status}: {complaint}")));
        }
        if !complaint.is_empty() {
            tracing::warn!("{} says: {complaint}", self.program);
        }
        Ok(())
    }
}

/// The end of the pipeline.
struct Sink {
    file: File,
    digest: Sha256,
    size: u64,
    written: watch::Sender<Written>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.digest.update(&bytes[..length]);
        self.size += length as u64;
        self.written.send_modify(|written| written.bytes = self.size);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What came through the first half of the pipeline, and its other half.
struct Compressed<W> {
    plain_size: u64,
    is_archive: bool,
    to: W,
}

impl Compressed<Sink> {
    fn finish(self) -> io::Result<(Dumped, bool)> {
        let Sink { file, digest, size, .. } = self.to;
        file.sync_all()?;
        Ok((Dumped { plain_size: self.plain_size, size, sha256: hex(&digest.finalize()) }, self.is_archive))
    }
}

fn compress<W: Write>(mut from: impl Read, to: W, progress: &Reporter) -> io::Result<Compressed<W>> {
    let mut encoder = zstd::Encoder::new(to, LEVEL)?;
    encoder.include_checksum(true)?;
    // Compression in a thread of its own, reading, hashing and writing in this one.
    encoder.multithread(1)?;
    let mut block = vec![0; BLOCK];
    let mut begin: Vec<u8> = Vec::with_capacity(MAGIC.len());
    let mut plain_size = 0;
    loop {
        let length = match from.read(&mut block) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = &block[..length];
        begin.extend(bytes.iter().take(MAGIC.len() - begin.len()));
        encoder.write_all(bytes)?;
        plain_size += length as u64;
        progress.advance(length as u64);
    }
    Ok(Compressed { plain_size, is_archive: begin == MAGIC, to: encoder.finish()? })
}

/// `compress`, with age behind it.
fn encrypt(
    from: impl Read + Send,
    to_age: impl Write + Send,
    mut from_age: impl Read,
    mut sink: Sink,
    progress: &Reporter,
) -> io::Result<(Dumped, bool)> {
    std::thread::scope(|scope| {
        let compressing = scope.spawn(|| {
            // Given up here, so that age sees the end.
            let Compressed { plain_size, is_archive, to } = compress(from, to_age, progress)?;
            drop(to);
            Ok((plain_size, is_archive))
        });
        let copied = io::copy(&mut from_age, &mut sink);
        // A pipe that nobody reads any more ends the compression as well.
        drop(from_age);
        let compressed: io::Result<_> = compressing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        copied?;
        let (plain_size, is_archive) = compressed?;
        Compressed { plain_size, is_archive, to: sink }.finish()
    })
}
