use std::fmt::Write as _;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// What the operating system counts of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// Bytes of memory in RAM.
    pub resident_bytes: u64,
    /// Bytes of address space, most of which costs nothing.
    pub virtual_bytes: u64,
    /// Seconds of processor time since the start, of all threads.
    pub cpu_seconds: f64,
    /// Open files, sockets among them; none where `/proc` does not tell.
    pub open_fds: Option<u64>,
    /// The most files that may be open.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// When the process began, in seconds since 1970.
    pub start_time: u64,
}

impl Process {
    /// Looks now; none where the system has no `/proc`. Every number about the process's own use of memory comes
    /// from here, so that metrics and health report agree.
    #[must_use]
    pub fn sample() -> Option<Self> {
        let own = sysinfo::get_current_pid().ok()?;
        let mut system = System::new().ok()?;
        let wanted = ProcessRefreshKind::nothing().with_memory().with_cpu().with_tasks().with_exe(UpdateKind::Never);
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, wanted);
        let process = system.process(own)?;
        Some(Self {
            resident_bytes: process.memory(),
            virtual_bytes: process.virtual_memory(),
            cpu_seconds: process.accumulated_cpu_time() as f64 / 1000.0,
            open_fds: process.open_files().map(|files| files as u64),
            max_fds: process.open_files_limit().map(|files| files as u64),
            // The first thread is not listed among the tasks.
            threads: 1 + process.tasks().map_or(0, |tasks| tasks.len() as u64),
            start_time: process.start_time(),
        })
    }

    /// Appends the families that Prometheus expects of every process. By hand, because a counter of the facade is
    /// whole and processor time is not.
    pub(crate) fn write(&self, text: &mut String) {
        let families = [
            ("process_resident_memory_bytes", "gauge", "Memory in RAM.", Some(self.resident_bytes as f64)),
            ("process_virtual_memory_bytes", "gauge", "Address space.", Some(self.virtual_bytes as f64)),
            ("process_cpu_seconds_total", "counter", "Processor time of all threads.", Some(self.cpu_seconds)),
            ("process_open_fds", "gauge", "Open files and sockets.", self.open_fds.map(|files| files as f64)),
            ("process_max_fds", "gauge", "Most open files and sockets.", self.max_fds.map(|files| files as f64)),
            ("process_threads", "gauge", "Threads.", Some(self.threads as f64)),
            ("process_start_time_seconds", "gauge", "Start, since 1970.", Some(self.start_time as f64)),
        ];
        for (name, kind, help, value) in families {
            if let Some(value) = value {
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Process;

    fn sample() -> Process {
        Process::sample().unwrap()
    }

    #[test]
    fn memory_is_what_this_process_holds() {
        let before = sample().resident_bytes;
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = sample();
        drop(held);
        let grown = after.resident_bytes - before;
        assert!((60 << 20..90 << 20).contains(&grown), "{grown}");
        assert!(after.virtual_bytes > after.resident_bytes);
    }

    #[test]
    fn processor_time_is_counted_in_parts_of_a_second() {
        let before = sample().cpu_seconds;
        let deadline = Instant::now() + Duration::from_secs(20);
        while sample().cpu_seconds < before + 0.05 {
            assert!(Instant::now() < deadline, "worked hard and long");
        }
        assert!(sample().cpu_seconds < before + 5.0, "seconds, not ticks");
    }

    #[test]
    fn files_and_threads_are_counted() {
        let before = sample();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || stopped.recv());
        let after = sample();
        // Other tests open and close files and threads meanwhile.
        assert!(after.open_fds.unwrap() > before.open_fds.unwrap() + 25, "{before:?} {after:?}");
        assert!(after.max_fds.unwrap() > after.open_fds.unwrap());
        assert!(after.threads >= 2, "{after:?}");
        drop((files, stop));
        let _ = waiting.join();
    }

    #[test]
    fn the_start_is_a_moment_ago() {
        // Whole seconds on both sides, rounded apart.
        let age = chrono::Utc::now().timestamp() - i64::try_from(sample().start_time).unwrap();
        assert!((-2..600).contains(&age), "{age} s ago");
    }
}
