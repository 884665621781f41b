use std::fs;

use parlant_ops_core::load_test::ScenarioFile;

/// What is said of a file with this text.
fn problem(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mix.json");
    fs::write(&path, text).unwrap();
    let problem = ScenarioFile::read(&path).unwrap_err().to_string();
    problem.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
}

#[test]
fn what_is_wrong_with_a_file_of_scenarios_is_said_with_field_and_line() {
    for (text, expected) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{}", "missing field `scenarios` at line 1 column 2"),
        (r#"{"scenarios": []}"#, "scenarios: must be 1 to 100"),
        ("{\"scenarios\": [\n{\"name\": \"a\"}]}", "scenarios[0]: missing field `path` at line 2 column 13"),
        (
            "{\"scenarios\": [{\"name\": \"a\", \"path\": \"/\",\n\"methd\": \"GET\"}]}",
            "scenarios[0].methd: unknown field `methd`",
        ),
        ("{\"scenarios\": [{\"name\": \"a\", \"path\": \"/\",\n\"methd\": \"GET\"}]}", "at line 2 column 7"),
        (r#"{"scenarios": [{"name": "a", "path": "/", "method": "get"}]}"#, "scenarios[0].method: must be GET, "),
        (r#"{"scenarios": [{"name": "a", "path": "agents"}]}"#, "scenarios[0].path: must be a path"),
        (r#"{"scenarios": [{"name": "a", "path": "/ä"}]}"#, "scenarios[0].path: must be a path"),
        (
            r#"{"scenarios": [{"name": "a", "path": "/", "headers": {"Authorization": "Bearer hunter2"}}]}"#,
            "scenarios[0].headers: Authorization: secrets do not belong in this file",
        ),
        (
            r#"{"scenarios": [{"name": "a", "path": "/", "headers": {"Cookie": "hunter2"}}]}"#,
            "headers: Cookie: secrets",
        ),
        (r#"{"scenarios": [{"name": "a", "path": "/", "headers": {"X": "a\nb"}}]}"#, "headers: X: its value"),
        (r#"{"scenarios": [{"name": "a", "path": "/", "headers": {"Host": "b"}}]}"#, "headers: Host: is set by"),
        (r#"{"scenarios": [{"name": "a", "path": "/", "expect": [99]}]}"#, "scenarios[0].expect: must be statuses"),
        (r#"{"scenarios": [{"name": "a", "path": "/", "weight": 0}]}"#, "scenarios[0].weight: must be from 1"),
        (r#"{"scenarios": [{"name": "a", "path": "/"}, {"name": "a", "path": "/"}]}"#, "scenarios[1].name: is another"),
        (r#"{"scenarios": [{"name": "", "path": "/"}]}"#, "scenarios[0].name: must be 1 to 100"),
        (
            r#"{"scenarios": [{"name": "a", "path": "/", "load": {"duration": "soon"}}]}"#,
            "load.duration: must be a duration",
        ),
        (
            r#"{"scenarios": [{"name": "a", "path": "/", "load": {"duration": []}}]}"#,
            "load.duration: a duration such as",
        ),
        (
            r#"{"scenarios": [{"name": "a", "path": "/", "load": {"rate": "x"}}]}"#,
            "scenarios[0].load.rate: invalid type",
        ),
        (
            r#"{"scenarios": [{"name": "a", "path": "/", "weight": 1, "load": {"rate": 5}}]}"#,
            "scenarios[0].load: scenarios with",
        ),
    ] {
        let problem = problem(text);
        assert!(problem.contains(expected) && !problem.contains("hunter2"), "{text}\n{problem}");
    }
    let large = format!(r#"{{"scenarios": "{}"}}"#, "x".repeat(1024 * 1024));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large"), large).unwrap();
    assert!(ScenarioFile::read(&folder.path().join("large")).is_err());
}
