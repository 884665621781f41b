//! The rules of the house that hold for the workspace as a whole (docs/ARCHITECTURE.md).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The floor of each room; imports go strictly down.
const FLOORS: [(&str, u8); 20] = [
    ("parlant-settings", 0),
    ("parlant-db-pool", 1),
    ("parlant-metrics", 1),
    ("parlant-telemetry", 1),
    ("parlant-auth-bridge", 2),
    ("parlant-embedded-postgres", 2),
    ("parlant-engine", 2),
    ("parlant-schema", 2),
    ("parlant-admission", 3),
    ("parlant-alerting", 3),
    ("parlant-backup-core", 3),
    ("parlant-conversations", 3),
    ("parlant-health", 3),
    ("parlant-api", 4),
    ("parlant-ops-core", 4),
    ("parlant-backup", 5),
    ("parlant-migrate", 5),
    ("parlant-ops", 5),
    ("parlant-server", 5),
    // Only ever a dev-dependency.
    ("parlant-test-support", 9),
];

/// Who may depend on a library that belongs to one room's job.
const OWNERS: [(&str, &[&str]); 10] = [
    ("actix-web", &["parlant-api", "parlant-auth-bridge", "parlant-engine"]),
    ("actix-cors", &["parlant-api"]),
    ("clap", &["parlant-backup", "parlant-migrate", "parlant-ops", "parlant-server"]),
    ("deadpool-postgres", &["parlant-auth-bridge", "parlant-db-pool"]),
    ("hdrhistogram", &["parlant-ops-core"]),
    ("hyper", &["parlant-ops-core"]),
    ("jsonwebtoken", &["parlant-auth-bridge"]),
    ("metrics-exporter-prometheus", &["parlant-metrics"]),
    ("reqwest", &["parlant-alerting", "parlant-auth-bridge", "parlant-engine", "parlant-health", "parlant-ops-core"]),
    ("utoipa", &["parlant-api"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Each package with its dependencies of kind `kind` ("null" for the ordinary ones).
fn dependencies(kind: &Value) -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let of_kind = dependencies.iter().filter(|found| found["kind"] == *kind);
            (name(package), of_kind.map(name).collect())
        })
        .collect()
}

#[test]
fn imports_go_strictly_down_and_every_package_has_a_floor() {
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    for (package, imports) in dependencies(&Value::Null) {
        let floor = floors.get(package.as_str());
        let floor = floor.unwrap_or_else(|| panic!("{package} has no floor in the table"));
        for import in imports.iter().filter(|name| name.starts_with("parlant-")) {
            assert!(floors[import.as_str()] < *floor, "{package} imports {import}");
        }
    }
}

#[test]
fn the_auth_bridge_imports_nothing_of_the_house() {
    for import in &dependencies(&Value::Null)["parlant-auth-bridge"] {
        assert!(!import.starts_with("parlant-"), "{import}");
    }
}

#[test]
fn a_library_that_belongs_to_one_room_is_used_there_only() {
    for kind in [Value::Null, Value::from("build")] {
        for (package, imports) in dependencies(&kind) {
            for (library, owners) in OWNERS {
                let used = imports.iter().any(|import| import == library);
                assert!(!used || owners.contains(&package.as_str()), "{package} uses {library}");
            }
        }
    }
}

#[test]
fn every_dependency_has_its_reason_on_the_line_above() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, table) = manifest.split_once("[workspace.dependencies]").unwrap();
    let (table, _) = table.split_once("\n[").unwrap();
    let mut previous = "";
    for line in table.lines() {
        let ours = line.starts_with("parlant-");
        let reason = previous.starts_with("# ") && !previous.starts_with("# ---");
        if line.contains('=') && !line.starts_with('#') && !ours {
            assert!(reason, "no reason for {line}");
        }
        previous = line;
    }
}

#[test]
fn the_architecture_page_names_every_package() {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    for package in dependencies(&Value::Null).keys() {
        let name = package.strip_prefix("parlant-").unwrap();
        assert!(page.contains(&format!("`{name}`")) || page.contains(&format!("`{package}`")), "{package}");
    }
}

#[test]
fn files_stay_small_enough_to_hold_one_idea() {
    let mut folders = vec![root().join("crates"), root().join("bins")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && path.iter().any(|part| part == "src") {
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().lines().count();
                assert!(lines <= 600, "{} has {lines} lines without its tests", path.display());
            }
        }
    }
}
