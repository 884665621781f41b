use crate::program::{output, text};

const URL: (&str, &str) = ("DATABASE_URL", "postgres://u:hunter2@localhost/d");

#[test]
fn bad_usage_exits_64_and_help_and_version_exit_0() {
    assert_eq!(output(&["surve"], &[]).status.code(), Some(64));
    assert_eq!(output(&[], &[]).status.code(), Some(64));
    let help = output(&["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help).contains("Examples:"), "{}", text(&help));
    let version = output(&["--version"], &[]);
    assert_eq!(version.status.code(), Some(0));
    assert!(text(&version).starts_with("parlant-server 0."), "{}", text(&version));
}

#[test]
fn every_problem_of_the_configuration_is_listed_at_once_with_exit_78() {
    let environment = [
        ("PORT", "70000"),
        ("WORKERS", "0"),
        ("AUTH_SOURCE", "ldap"),
        ("AUTH_CACHE_TTL", "300"),
        ("SESSION_CACHE_TTL", "60"),
        ("BETTER_AUTH_SECRET", "short-hunter2"),
        ("JWT_SECRET_KEY", "hunter2"),
        ("LOG_LEVEL", "LOUD=?"),
        ("CORS_ORIGINS", "*"),
        ("DATABASE_POOL_TIMEOUT", "soon"),
        ("PARLANT_BASE_URL", "http://u:hunter2@parlant"),
        ("PARLANT_COMPOSITION_MODE", "free"),
    ];
    for command in ["check-config", "serve"] {
        let output = output(&[command], &environment);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(78), "{text}");
        for (name, _) in environment {
            assert!(text.contains(name), "{name} is missing: {text}");
        }
        assert!(text.contains("DATABASE_URL: is required"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn check_config_prints_what_holds_with_secrets_redacted() {
    let secret = ("BETTER_AUTH_SECRET", "hunter2-hunter2-hunter2-hunter2-hunter2");
    let engine = [("PARLANT_BASE_URL", "http://parlant:8800"), ("PARLANT_API_TOKEN", "hunter2")];
    let output = output(&["check-config"], &[URL, secret, engine[0], engine[1], ("PORT", "9000")]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(line("DATABASE_URL").ends_with("[redacted]"), "{text}");
    assert!(line("PARLANT_API_TOKEN").ends_with("[redacted]"), "{text}");
    assert!(line("PARLANT_BASE_URL").ends_with("http://parlant:8800"), "{text}");
    assert!(line("PORT").contains("environment") && line("PORT").ends_with("9000"), "{text}");
    assert!(line("DATABASE_POOL_SIZE").contains("default"), "{text}");
    assert!(line("JWT_ISSUER").contains("unset"), "{text}");
}

#[test]
fn jwts_cannot_be_combined_with_a_source_that_finds_no_users() {
    let key = ("JWT_SECRET_KEY", "0123456789abcdef0123456789abcdef");
    let output = output(&["check-config"], &[URL, key, ("AUTH_SOURCE", "http")]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output).contains("AUTH_SOURCE: "), "{}", text(&output));
}

#[test]
fn settings_come_from_a_dotenv_file_and_from_secret_files() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("url");
    std::fs::write(&secret, "postgres://u:hunter2@localhost/d\n").unwrap();
    std::fs::write(directory.path().join(".env"), format!("DATABASE_URL_FILE={}\nPORT=9001\n", secret.display()))
        .unwrap();
    let output = crate::program::program(directory.path(), &["check-config"], &[]).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("9001") && !text.contains("hunter2"), "{text}");
}
