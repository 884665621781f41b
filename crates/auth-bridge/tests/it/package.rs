//! What others get who link the crate.

use std::process::Command;

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names of everything that the crate brings with these features.
fn brought(features: &str) -> Vec<String> {
    let tree = ["tree", "--package=parlant-auth-bridge", "--edges=normal", "--prefix=none", "--offline", "--features"];
    let tree = cargo(&[&tree[..], &[features]].concat());
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn nobody_pays_for_what_was_not_asked_for() {
    const HEAVY: [&str; 9] = [
        "actix-web",
        "axum-core",
        "deadpool-postgres",
        "http",
        "hyper",
        "jsonwebtoken",
        "reqwest",
        "rustls",
        "tokio-postgres",
    ];
    for (features, expected) in [
        ("", &[][..]),
        ("testing", &[]),
        ("actix", &["actix-web"]),
        ("postgres", &["deadpool-postgres", "tokio-postgres"]),
        ("tower", &["axum-core", "http"]),
    ] {
        let brought = brought(features);
        assert!(brought.iter().any(|name| name == "moka"), "{brought:?}");
        let house =
            brought.iter().filter(|name| name.starts_with("parlant-")).collect::<std::collections::HashSet<_>>();
        assert_eq!(house.len(), 1, "only itself: {house:?}");
        for name in HEAVY {
            // actix-web brings the older `http`.
            let is_expected = expected.contains(&name) || (features == "actix" && name == "http");
            assert_eq!(brought.iter().any(|brought| brought == name), is_expected, "{name} with {features:?}");
        }
    }
}

#[test]
fn the_package_has_all_that_it_needs_and_nothing_else() {
    let listed = cargo(&["package", "--package=parlant-auth-bridge", "--list", "--allow-dirty", "--offline"]);
    for file in
        ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "examples/axum.rs", "fixture/sim_schema.sql"]
    {
        assert!(listed.lines().any(|line| line == file), "{file} is not in\n{listed}");
    }
    assert!(!listed.contains("tests/"), "{listed}");
}
