//! The real program.
#![expect(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

mod alerts;
mod doctor;
mod load_test;

use std::process::{Command, Output};

/// Runs the program to its end, with nothing in its environment.
fn run(arguments: &[&str]) -> Output {
    run_with(arguments, &[])
}

/// Runs the program to its end, with nothing else in its environment, where there is no `.env`.
fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlant-ops"));
    command.args(arguments).current_dir(directory.path()).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
}

#[test]
fn help_and_version_are_data_and_bad_usage_is_64() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["alerts", "--help"],
        &["alerts", "render", "--help"],
        &["doctor", "--help"],
        &["restart", "--help"],
        &["load-test", "--help"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
    assert!(version.starts_with(concat!("parlant-ops ", env!("CARGO_PKG_VERSION"))), "{version}");
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    for arguments in [
        &[][..],
        &["alerts"],
        &["restar"],
        &["alerts", "render", "--check"],
        &["alerts", "render", "--without", "ParlantTypo"],
        &["restart", "--unit", "../../etc/passwd"],
        &["restart", "--max-wait", "soon"],
        &["load-test", "--rate", "1", "--concurrency", "1"],
        &["load-test", "--max-p95", "soon"],
        &["load-test", "--max-error-rate", "5"],
        &["load-test", "--token", "hunter2"],
        &["alerts", "test", "--severity", "mild"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

/// The rest is for `e2e/restart`, which brings a systemd.
#[test]
fn a_unit_that_systemd_does_not_have_is_not_restarted() {
    for json in [&[][..], &["--json"]] {
        let arguments = [&["restart", "--dry-run", "--unit", "parlant-no-such-unit"], json].concat();
        let output = run(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains(if json.is_empty() { "Nothing was done" } else { r#""outcome":"refused""# }), "{text}");
    }
}
