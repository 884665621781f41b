//! The memory limit of the container, if this process is in one: `sysinfo` gives up where an inner control group has
//! no limit of its own, and cannot be shown another tree.

use std::fs;
use std::path::{Component, Path};

/// The smallest memory limit of the control groups around this process, in bytes, whichever version has it. Without
/// one, version 1 tells a number that no machine has. `root` is `/`.
pub(crate) fn memory_limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let limits = mounts.lines().filter_map(Hierarchy::parse).filter_map(|hierarchy| hierarchy.limit(root, &groups));
    limits.min()
}

/// A mounted tree of control groups that can limit memory.
struct Hierarchy<'a> {
    v1: bool,
    /// The group that is mounted: the container's own where groups have no namespace.
    group: &'a str,
    mount_point: &'a str,
}

impl<'a> Hierarchy<'a> {
    /// `36 25 0:31 /group /mount/point rw,relatime shared:9 - cgroup cgroup rw,memory`, see `proc_pid_mountinfo(5)`.
    fn parse(line: &'a str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let (mut place, mut kind) = (place.split(' ').skip(3), kind.split(' '));
        let (group, mount_point) = (place.next()?, place.next()?);
        let v1 = match kind.next()? {
            "cgroup2" => false,
            "cgroup" if kind.nth(1)?.split(',').any(|option| option == "memory") => true,
            _ => return None,
        };
        Some(Self { v1, group, mount_point })
    }

    /// The smallest limit from the group of this process up to the one that is mounted.
    fn limit(&self, root: &Path, groups: &str) -> Option<u64> {
        let file = if self.v1 { "memory.limit_in_bytes" } else { "memory.max" };
        let top = root.join(self.mount_point.trim_start_matches('/'));
        let own = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let ours =
                if self.v1 { controllers.split(',').any(|name| name == "memory") } else { controllers.is_empty() };
            ours.then(|| Path::new(path))
        })?;
        // What lies outside of what is mounted cannot be seen.
        let inside = own.strip_prefix(self.group).unwrap_or(Path::new(""));
        let inside = if inside.components().any(|part| part == Component::ParentDir) { Path::new("") } else { inside };
        inside
            .ancestors()
            .filter_map(|group| fs::read_to_string(top.join(group).join(file)).ok()?.trim().parse().ok())
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// What is found in a tree with these files.
    fn limit(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("proc/self/cgroup", groups), ("proc/self/mountinfo", mounts)].iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory_limit(root.path())
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let own = "sys/fs/cgroup/a/b/memory.max";
        let middle = "sys/fs/cgroup/a/memory.max";
        for (files, expected) in [
            (&[(own, "100\n"), (middle, "200\n")][..], Some(100)),
            (&[(own, "200\n"), (middle, "100\n")], Some(100)),
            (&[(own, "max\n"), (middle, "100\n")], Some(100)),
            // The memory controller is not passed on to the inner group.
            (&[(middle, "100\n")], Some(100)),
            (&[(own, "max\n"), (middle, "max\n")], None),
            (&[("sys/fs/cgroup/other/memory.max", "100\n")], None),
        ] {
            assert_eq!(limit("0::/a/b\n", V2, files), expected, "{files:?}");
        }
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_top() {
        let top = [("sys/fs/cgroup/memory.max", "100\n")];
        assert_eq!(limit("0::/\n", V2, &top), Some(100));
        assert_eq!(limit("0::/../sibling\n", V2, &top), Some(100));
        // Without a namespace of groups, the group of the container is what is mounted.
        let mounted = V1.replace("/ /sys/fs/cgroup/memory", "/docker/c1 /sys/fs/cgroup/memory");
        let groups = "5:cpu:/docker/c1\n4:memory:/docker/c1\n";
        let files = [("sys/fs/cgroup/memory/memory.limit_in_bytes", "100\n")];
        assert_eq!(limit(groups, &mounted, &files), Some(100));
        assert_eq!(limit("4:memory:/docker/c1/inner\n", &mounted, &files), Some(100));
    }

    #[test]
    fn version_1_counts_beside_version_2() {
        let hybrid = format!("{V1}{}", V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified "));
        let groups = "4:memory:/a\n0::/\n";
        let files = [
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "100\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limit(groups, &hybrid, &files), Some(100));
        assert_eq!(limit("4:memory:/\n0::/\n", &hybrid, &files), Some(9_223_372_036_854_771_712));
    }

    #[test]
    fn without_control_groups_there_is_no_limit() {
        assert_eq!(limit("", "", &[]), None);
        assert_eq!(memory_limit(Path::new("/nowhere")), None);
    }
}
