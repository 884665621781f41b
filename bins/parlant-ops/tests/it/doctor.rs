//! `parlant-ops doctor`. What it finds in a live system is the matter of `e2e/doctor`.

use serde_json::Value;

use crate::run;

#[test]
fn nothing_configured_is_a_finding_and_no_failure_of_the_doctor() {
    let output = run(&["doctor", "--json", "--only", "configuration"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let diagnosis: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(diagnosis["findings"][0]["id"], "configuration.invalid");
    assert!(diagnosis["findings"][0]["evidence"].to_string().contains("DATABASE_URL: is required"), "{diagnosis}");
    // For people, the same.
    let output = run(&["doctor", "--only", "configuration"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("BROKEN  configuration.invalid") && text.contains("1 broken."), "{text}");
}
