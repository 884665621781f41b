//! Puts the git revision into `PARLANT_REVISION`, and the version with it into `PARLANT_VERSION`; outside a git
//! checkout, nothing and the version alone.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn main() {
    let revision = git(&["rev-parse", "--short=12", "HEAD"]);
    let version = env!("CARGO_PKG_VERSION");
    let version = match &revision {
        Some(revision) => format!("{version} ({revision})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=PARLANT_VERSION={version}");
    println!("cargo::rustc-env=PARLANT_REVISION={}", revision.unwrap_or_default());
    println!("cargo::rerun-if-changed=../build.rs");
    // The log of HEAD grows with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}
