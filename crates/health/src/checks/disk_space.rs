use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metrics::{describe_gauge, gauge};
use rustix::fs::{StatVfsMountFlags, statvfs};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::check::Running;
use crate::metrics::DISK_USED;
use crate::numbers::round;
use crate::{Check, Outcome};

/// How full the file systems are that this service writes to.
pub struct DiskSpace(Arc<Mutex<Places>>);

struct Places {
    /// What is written to.
    paths: Vec<PathBuf>,
    /// Where those were mounted that the last look found.
    seen: Vec<PathBuf>,
}

/// How full a file system is, from 0 to 1.
#[derive(Debug)]
struct Usage {
    mount_point: PathBuf,
    /// As `df` counts it: what root keeps for itself is neither used nor free.
    bytes: f64,
    /// None where files can be made as long as there is space.
    inodes: Option<f64>,
    free_bytes: u64,
}

impl DiskSpace {
    /// A check of `/` and of the file systems that these files and directories are or will be on. Install the metrics
    /// recorder first. Nothing is looked at yet, since that may hang.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        describe_gauge!(DISK_USED, "The part of a file system that is used, as df counts it.");
        let paths = [PathBuf::from("/")].into_iter().chain(paths).collect();
        Self(Arc::new(Mutex::new(Places { paths, seen: Vec::new() })))
    }

    async fn look(&self) -> Outcome {
        // A file system of another machine may hang, and with it the thread that asked: that look still has the lock,
        // and there is no other until it returns.
        let Ok(mut places) = Arc::clone(&self.0).try_lock_owned() else {
            return Outcome::unhealthy("a file system does not answer");
        };
        match tokio::task::spawn_blocking(move || places.look()).await {
            Ok(usages) => judge(&usages),
            Err(failed) => Outcome::unhealthy("could not be checked").because(failed),
        }
    }
}

impl Check for DiskSpace {
    fn name(&self) -> &'static str {
        "disk_space"
    }

    fn run(&self) -> Running<'_> {
        Box::pin(self.look())
    }
}

impl Places {
    fn look(&mut self) -> Vec<Usage> {
        let usages = usages(&self.paths);
        let now: Vec<_> = usages.iter().map(|usage| usage.mount_point.clone()).collect();
        let gone = self.seen.iter().filter(|before| !now.contains(before)).map(|gone| (gone, f64::NAN));
        for (mount_point, used) in usages.iter().map(|usage| (&usage.mount_point, usage.bytes)).chain(gone) {
            gauge!(DISK_USED, "mountpoint" => mount_point.display().to_string()).set(used);
        }
        self.seen = now;
        usages
    }
}

/// Each file system that the paths are on, once.
fn usages(paths: &[PathBuf]) -> Vec<Usage> {
    let mut devices = Vec::new();
    let mut usages = Vec::new();
    for path in paths {
        let Ok((device, mount_point)) = mount_point(path) else { continue };
        if !devices.contains(&device) {
            devices.push(device);
            usages.extend(usage(mount_point));
        }
    }
    usages
}

/// The device of the nearest thing that exists on the way up from `path`, and where it is mounted.
fn mount_point(path: &Path) -> io::Result<(u64, PathBuf)> {
    let existing = path.ancestors().find_map(|path| fs::canonicalize(path).ok()).unwrap_or_else(|| "/".into());
    let device = fs::metadata(&existing)?.dev();
    let inside = |path: &&Path| fs::metadata(path).is_ok_and(|found| found.dev() == device);
    let mount_point = existing.ancestors().take_while(inside).last().unwrap_or(&existing);
    Ok((device, mount_point.to_owned()))
}

/// None of what is full by design: an image, or what stores nothing. Being read-only is not enough, since a service may
/// see everything so (`ProtectSystem=strict`) that fills up all the same.
fn usage(mount_point: PathBuf) -> Option<Usage> {
    let found = statvfs(&mount_point).ok()?;
    let is_image = found.f_flag.contains(StatVfsMountFlags::RDONLY) && found.f_bfree == 0;
    if is_image || found.f_blocks == 0 {
        return None;
    }
    let ratio = |all: u64, free: u64, available: u64| {
        let used = all.saturating_sub(free) as f64;
        used / (used + available as f64)
    };
    Some(Usage {
        bytes: ratio(found.f_blocks, found.f_bfree, found.f_bavail),
        inodes: (found.f_files > 0).then(|| ratio(found.f_files, found.f_ffree, found.f_favail)),
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        mount_point,
    })
}

fn judge(usages: &[Usage]) -> Outcome {
    let fullest = usages.iter().flat_map(|usage| [Some(usage.bytes), usage.inodes]).flatten().fold(0.0, f64::max);
    let outcome = match fullest {
        ..=0.85 => Outcome::healthy(),
        ..=0.95 => Outcome::degraded("a file system is more than 85 % full"),
        _ => Outcome::unhealthy("a file system is more than 95 % full"),
    };
    let percent = |ratio: f64| round(100.0 * ratio);
    let file_systems = usages.iter().map(|usage| {
        json!({
            "mountpoint": usage.mount_point,
            "percent": percent(usage.bytes),
            "inodes_percent": usage.inodes.map(percent),
            "free_mb": usage.free_bytes / (1024 * 1024),
        })
    });
    let file_systems: Value = file_systems.collect();
    outcome.with_details(json!({ "percent": percent(fullest), "file_systems": file_systems }))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::Status;

    #[test]
    fn the_fullest_counts_in_bytes_or_inodes() {
        use Status::{Degraded, Healthy, Unhealthy};
        let usage = |(bytes, inodes)| Usage { mount_point: "/".into(), bytes, inodes, free_bytes: 5 * 1024 * 1024 };
        for (usages, expected) in [
            (vec![], Healthy),
            (vec![(0.85, None)], Healthy),
            (vec![(0.851, None)], Degraded),
            (vec![(0.1, Some(0.2)), (0.95, Some(0.2))], Degraded),
            (vec![(0.951, Some(0.2)), (0.1, Some(0.2))], Unhealthy),
            (vec![(0.1, Some(0.9))], Degraded),
            (vec![(0.1, Some(0.99))], Unhealthy),
        ] {
            let outcome = judge(&usages.iter().copied().map(usage).collect::<Vec<_>>());
            assert_eq!(outcome.status, expected, "{usages:?}");
        }
        let outcome = judge(&[usage((0.5, Some(0.25)))]);
        let expected = json!({
            "percent": 50.0,
            "file_systems": [{ "mountpoint": "/", "percent": 50.0, "inodes_percent": 25.0, "free_mb": 5 }],
        });
        assert_eq!(outcome.details, expected);
    }

    #[test]
    fn a_path_that_does_not_exist_yet_is_on_the_file_system_above_it() {
        let directory = tempfile::tempdir().unwrap();
        let here = mount_point(directory.path()).unwrap();
        let later = mount_point(&directory.path().join("backups/of/tomorrow")).unwrap();
        assert_eq!(here, later);
        assert!(directory.path().canonicalize().unwrap().starts_with(&here.1), "{here:?}");
        assert_eq!(mount_point(Path::new("nowhere/to/be/found")).unwrap().1, Path::new("/"));
    }

    #[test]
    fn a_file_system_is_named_once_and_by_its_mount_point() {
        let proc = mount_point(Path::new("/proc/self/status")).unwrap();
        assert_eq!(proc.1, Path::new("/proc"));
        // It stores nothing.
        assert!(usage(proc.1).is_none());
        let root = usages(&["/".into(), "/".into(), "/proc".into()]);
        assert_eq!(root.len(), 1, "{root:?}");
    }

    #[test]
    fn it_counts_as_df_does() {
        let output = Command::new("df").args(["--output=pcent", "/"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let expected: f64 = text.lines().nth(1).unwrap().trim().trim_end_matches('%').parse().unwrap();
        let counted = 100.0 * usage("/".into()).unwrap().bytes;
        // It rounds up, and others write meanwhile.
        assert!((counted.ceil() - expected).abs() <= 1.0, "{counted} {expected}");
    }
}
