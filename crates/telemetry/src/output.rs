use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use metrics::Counter;

/// Most bytes of lines that wait for an output that is slower than we are, has no space left or hangs.
const BACKLOG: usize = 8 * 1024 * 1024;
/// Most bytes that are written in one piece, unless a single line has more: what a pipe takes without mixing it with
/// what others write to it (`PIPE_BUF`).
const PIECE: usize = 4096;
/// How long to wait before writing again what could not be written.
const RETRY: Duration = Duration::from_millis(250);
/// How long the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where lines go. They are written by a thread of its own, so that nothing that happens to the output holds up
/// whoever logs. What cannot be written now is written later; only lines that find no room meanwhile are dropped.
#[derive(Clone)]
pub(crate) struct Output(Arc<Shared>);

struct Shared {
    name: &'static str,
    dropped: Counter,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines dropped since that was last said.
    dropped: u64,
    reopen: bool,
    closing: bool,
    closed: bool,
}

impl Output {
    /// Starts the thread that writes to `sink`.
    pub(crate) fn start(name: &'static str, sink: Sink, dropped: Counter) -> io::Result<Self> {
        let shared = Arc::new(Shared { name, dropped, state: Mutex::default(), changed: Condvar::new() });
        let worker = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || worker.work(sink))?;
        Ok(Self(shared))
    }

    /// Takes a line to be written.
    pub(crate) fn line(&self, line: &str) {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > BACKLOG {
            state.dropped += 1;
            drop(state);
            return self.0.dropped.increment(1);
        }
        let idle = state.waiting.is_empty();
        state.waiting.extend_from_slice(line.as_bytes());
        drop(state);
        if idle {
            self.0.changed.notify_all();
        }
    }

    /// Has the file opened anew, after the lines that wait already.
    pub(crate) fn reopen(&self) {
        self.0.lock().reopen = true;
        self.0.changed.notify_all();
    }

    /// Waits for the lines that wait, not for an output that hangs.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closing = true;
        self.0.changed.notify_all();
        drop(self.0.changed.wait_timeout_while(state, LAST_LINES, |state| !state.closed));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut sink: Sink) {
        let mut lines = Vec::new();
        loop {
            let idle = |state: &mut State| state.waiting.is_empty() && !state.reopen && !state.closing;
            let mut state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            if state.closing && state.waiting.is_empty() {
                state.closed = true;
                return self.changed.notify_all();
            }
            mem::swap(&mut lines, &mut state.waiting);
            let dropped = mem::take(&mut state.dropped);
            drop(state);

            self.write(&mut sink, &lines);
            lines.clear();
            lines.shrink_to(16 * PIECE);
            if dropped > 0 {
                tracing::warn!(output = self.name, lines = dropped, "Lines of the log were dropped");
            }
            // Asked for only now: a file that takes no lines may be left for another one meanwhile.
            if mem::take(&mut self.lock().reopen) {
                sink.reopen();
            }
        }
    }

    /// Writes all of `lines`, however long it takes; gives up only at the end of the program.
    fn write(&self, sink: &mut Sink, lines: &[u8]) {
        let mut written = 0;
        let mut failing = false;
        while written < lines.len() {
            let rest = &lines[written..];
            let error = match sink.writer.write(&rest[..piece(rest)]) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(length) => {
                    written += length;
                    failing = false;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if !mem::replace(&mut failing, true) {
                tracing::error!(output = self.name, %error, "The log cannot be written");
            }
            let wait = |state: &mut State| !state.reopen && !state.closing;
            let waited = self.changed.wait_timeout_while(self.lock(), RETRY, wait);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.closing {
                return;
            }
            let reopen = mem::take(&mut state.reopen);
            drop(state);
            if reopen && sink.reopen() {
                // A line that stopped in the middle begins again in the new file.
                written = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            }
        }
    }
}

/// How much of `lines` to write in one piece: whole lines.
fn piece(lines: &[u8]) -> usize {
    let fits = &lines[..lines.len().min(PIECE)];
    let end = fits.iter().rposition(|byte| *byte == b'\n');
    let end = end.or_else(|| lines.iter().position(|byte| *byte == b'\n'));
    end.map_or(lines.len(), |end| end + 1)
}

/// What is written to in the end.
pub(crate) struct Sink {
    writer: Box<dyn Write + Send>,
    file: Option<PathBuf>,
}

impl Sink {
    pub(crate) fn stderr() -> Self {
        Self { writer: Box::new(io::stderr()), file: None }
    }

    pub(crate) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self { writer: Box::new(open(path)?), file: Some(path.to_owned()) })
    }

    /// Whether there is a new file to write to.
    fn reopen(&mut self) -> bool {
        let Some(path) = &self.file else { return false };
        match open(path) {
            Ok(file) => {
                self.writer = Box::new(file);
                true
            }
            Err(error) => {
                tracing::error!(%error, "LOG_FILE cannot be opened again; the old file is kept");
                false
            }
        }
    }
}

/// Opens the file to append to it; makes it, and the folders above it, where they are missing.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > 0 {
        let mut last = [0];
        file.read_exact_at(&mut last, metadata.len() - 1)?;
        // Somebody who was killed in the middle of a line must not spoil our first one.
        if last != *b"\n" {
            let _ = file.write_all(b"\n");
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use serde_json::Value;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn line(writer: usize, number: usize) -> String {
        // Some are longer than what is written in one piece.
        let padding = "x".repeat(if number.is_multiple_of(100) { 2 * PIECE } else { 30 });
        format!("{{\"writer\":{writer},\"number\":{number},\"padding\":\"{padding}\"}}\n")
    }

    /// Writer and number of each line, all of which must be whole.
    fn read(text: &str) -> Vec<(u64, u64)> {
        assert!(text.is_empty() || text.ends_with('\n'));
        let parse = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            (line["writer"].as_u64().unwrap(), line["number"].as_u64().unwrap())
        };
        text.lines().map(parse).collect()
    }

    fn counted() -> (Counter, Arc<AtomicU64>) {
        let dropped = Arc::<AtomicU64>::default();
        (Counter::from_arc(Arc::clone(&dropped)), dropped)
    }

    fn eventually(holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }

    /// Has room for so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let length = bytes.len().min(disk.0);
            disk.0 -= length;
            disk.1.extend_from_slice(&bytes[..length]);
            if length == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(length) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_is_lost_or_broken_by_rotations_under_concurrent_writers() {
        const WRITERS: usize = 4;
        const LINES: usize = 5_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (counter, dropped) = counted();
        let output = Output::start("test", Sink::file(&path).unwrap(), counter).unwrap();
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let output = &output;
                scope.spawn(move || (0..LINES).for_each(|number| output.line(&line(writer, number))));
            }
            for rotation in 0..10 {
                eventually(|| path.exists());
                fs::rename(&path, folder.path().join(format!("log.{rotation}"))).unwrap();
                // Somebody always writes on, if not the writers above.
                output.line(&line(WRITERS, rotation));
                output.reopen();
                output.line(&line(WRITERS + 1, rotation));
            }
        });
        output.close();
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let texts: Vec<_> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
        assert_eq!(texts.len(), 11);
        let lines: Vec<_> = texts.iter().flat_map(|text| read(text)).collect();
        assert_eq!(lines.len(), WRITERS * LINES + 20);
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_output_that_hangs_holds_nobody_up_and_what_is_dropped_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (counter, dropped) = counted();
        let output = Output::start("test", Sink::file(&path).unwrap(), counter).unwrap();
        let mut sent = 0;
        while dropped.load(Ordering::Relaxed) < 1000 {
            output.line(&line(0, sent));
            sent += 1;
        }
        let before = Instant::now();
        output.close();
        assert!(before.elapsed() < 3 * LAST_LINES, "the end of the program waits for ever");

        // It goes on: everything that was not dropped is there.
        let mut pipe = File::open(&path).unwrap();
        let kept = sent - usize::try_from(dropped.load(Ordering::Relaxed)).unwrap();
        let (mut text, mut ends, mut buffer) = (Vec::new(), 0, vec![0; 1 << 16]);
        while ends < kept {
            let length = pipe.read(&mut buffer).unwrap();
            ends += buffer[..length].split(|byte| *byte == b'\n').count() - 1;
            text.extend_from_slice(&buffer[..length]);
        }
        let lines = read(std::str::from_utf8(&text).unwrap());
        assert_eq!(lines.len(), kept);
        assert!(lines.is_sorted(), "the oldest lines are kept, in their order");
    }

    #[test]
    fn what_finds_no_space_is_written_once_there_is_some() {
        let disk = Disk::default();
        disk.0.lock().unwrap().0 = line(0, 1).len() * 3 / 2;
        let sink = Sink { writer: Box::new(disk.clone()), file: None };
        let (counter, dropped) = counted();
        let output = Output::start("test", sink, counter).unwrap();
        (1..50).for_each(|number| output.line(&line(0, number)));
        eventually(|| disk.0.lock().unwrap().0 == 0);
        disk.0.lock().unwrap().0 = usize::MAX;
        eventually(|| disk.0.lock().unwrap().1.ends_with(line(0, 49).as_bytes()));
        let lines = read(std::str::from_utf8(&disk.0.lock().unwrap().1).unwrap());
        assert_eq!(lines, (1..50).map(|number| (0, number)).collect::<Vec<_>>());
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_full_disk_can_be_left_for_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        symlink("/dev/full", &path).unwrap();
        let output = Output::start("test", Sink::file(&path).unwrap(), Counter::noop()).unwrap();
        (1..50).for_each(|number| output.line(&line(0, number)));
        fs::remove_file(&path).unwrap();
        output.reopen();
        eventually(|| fs::read_to_string(&path).is_ok_and(|text| text.ends_with(&line(0, 49))));
        assert_eq!(read(&fs::read_to_string(&path).unwrap()).len(), 49);
    }

    #[test]
    fn a_line_that_stopped_in_the_middle_begins_again_in_the_next_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let disk = Disk::default();
        disk.0.lock().unwrap().0 = line(0, 1).len() * 3 / 2;
        let sink = Sink { writer: Box::new(disk.clone()), file: Some(path.clone()) };
        let output = Output::start("test", sink, Counter::noop()).unwrap();
        (1..4).for_each(|number| output.line(&line(0, number)));
        eventually(|| disk.0.lock().unwrap().0 == 0);
        output.reopen();
        eventually(|| fs::read_to_string(&path).is_ok_and(|text| text.ends_with(&line(0, 3))));
        assert_eq!(read(&fs::read_to_string(&path).unwrap()), [(0, 2), (0, 3)]);
    }

    #[test]
    fn the_old_file_is_kept_while_there_can_be_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let output = Output::start("test", Sink::file(&path).unwrap(), Counter::noop()).unwrap();
        fs::rename(&path, &old).unwrap();
        fs::create_dir(&path).unwrap();
        output.reopen();
        output.line(&line(0, 1));
        output.close();
        assert_eq!(read(&fs::read_to_string(&old).unwrap()), [(0, 1)]);
    }

    #[test]
    fn the_file_is_made_for_its_group_with_its_folder_and_never_begins_within_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/log");
        let output = Output::start("test", Sink::file(&path).unwrap(), Counter::noop()).unwrap();
        output.line("whole\n");
        output.close();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
        File::options().append(true).open(&path).unwrap().write_all(b"half").unwrap();
        let output = Output::start("test", Sink::file(&path).unwrap(), Counter::noop()).unwrap();
        output.line("whole\n");
        output.close();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhalf\nwhole\n");
    }
}
