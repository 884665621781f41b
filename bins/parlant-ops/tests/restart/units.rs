//! The units, judged by systemd's own programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd")
}

fn output(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn systemd_takes_every_unit_without_a_word() {
    let directory = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in fs::read_dir(committed()).unwrap() {
        let path = entry.unwrap().path();
        if matches!(path.extension().and_then(|ending| ending.to_str()), Some("service" | "socket" | "timer")) {
            let copy = directory.path().join(path.file_name().unwrap());
            // Ours are not installed.
            let text = fs::read_to_string(&path).unwrap().replace("/usr/local/bin/parlant-", "/bin/true ");
            fs::write(&copy, text).unwrap();
            units.push(copy);
        }
    }
    assert_eq!(units.len(), 5);
    let verify = |units: &[PathBuf]| output(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(units));
    assert_eq!(verify(&units), (true, String::new()));
    // It would have said something.
    let service = directory.path().join("parlant-server.service");
    let text = fs::read_to_string(&service).unwrap().replace("WatchdogSec=", "WatchdogSeconds=");
    fs::write(&service, text).unwrap();
    assert!(verify(&[service]).1.contains("WatchdogSeconds"));
}

#[test]
fn the_services_are_exposed_as_little_as_is_stated() {
    // In tenths, as documented in docs/operations/restart.md.
    for (unit, most) in [("parlant-server", 12), ("parlant-migrate", 12), ("parlant-backup", 14)] {
        let (ok, text) = output(
            Command::new("systemd-analyze")
                .args(["security", "--offline=true", "--no-pager"])
                .arg(format!("--threshold={most}"))
                .arg(committed().join(format!("{unit}.service"))),
        );
        assert!(ok, "{text}");
    }
}

#[test]
fn users_and_directories_are_made_as_declared() {
    let root = tempfile::tempdir().unwrap();
    let at_root = |program: &str, arguments: &[&str], file: &str| {
        let root = format!("--root={}", root.path().display());
        let (ok, text) = output(Command::new(program).arg(root).args(arguments).arg(committed().join(file)));
        assert!(ok, "{text}");
    };
    fs::create_dir(root.path().join("etc")).unwrap();
    at_root("systemd-sysusers", &[], "sysusers.conf");
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(users.contains("\nparlant:") || users.starts_with("parlant:"), "{users}");
    assert!(users.contains("parlant-backup:"), "{users}");
    at_root("systemd-tmpfiles", &["--create"], "tmpfiles.conf");
    assert!(root.path().join("etc/parlant").is_dir() && root.path().join("opt/parlant/backups").is_dir());
}
