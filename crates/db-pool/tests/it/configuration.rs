use std::time::Duration;

use parlant_db_pool::{Config, Pool, SslMode, VARIABLES, connect};
use parlant_settings::{Settings, Variable};
use parlant_test_support::empty_database;

use crate::postgres::{ONE, config, pool};

fn problems(pairs: &[(&str, &str)]) -> String {
    let mut settings = Settings::from_pairs(pairs.iter().copied());
    let _ = Config::from_settings(&mut settings);
    settings.finish().err().map_or_else(String::new, |problems| problems.to_string())
}

#[test]
fn settings_have_the_documented_defaults() {
    let mut settings = Settings::from_pairs([("POSTGRES_URL", "postgres://u@h/d")]);
    let read = Config::from_settings(&mut settings);
    settings.finish().unwrap();
    let plain = Config::new("postgres://u@h/d");
    assert_eq!(format!("{read:?}"), format!("{plain:?}"));
    assert_eq!((read.pool_size, read.max_overflow), (10, 20));
    assert_eq!(read.pool_timeout, Duration::from_secs(5));
    assert_eq!(read.connection_timeout, Duration::from_secs(10));
    assert_eq!(read.command_timeout, Duration::from_secs(30));
    assert!(read.prepared_statements);
    assert_eq!(read.application_name, "parlant-server");
}

#[test]
fn settings_are_read_by_every_name() {
    let pairs = [
        ("DATABASE_URL", "postgres://u@h/d"),
        ("DATABASE_SSL_MODE", "require"),
        ("DATABASE_POOL_SIZE", "3"),
        ("DATABASE_POOL_MAX_OVERFLOW", "4"),
        ("DATABASE_POOL_TIMEOUT", "100ms"),
        ("DATABASE_CONNECTION_TIMEOUT", "2"),
        ("DATABASE_COMMAND_TIMEOUT", "1m"),
        ("DATABASE_PREPARED_STATEMENTS", "off"),
    ];
    let mut settings = Settings::from_pairs(pairs);
    let config = Config::from_settings(&mut settings);
    settings.finish().unwrap();
    assert_eq!(config.ssl_mode, Some(SslMode::Require));
    assert_eq!((config.pool_size, config.max_overflow), (3, 4));
    assert_eq!(config.pool_timeout, Duration::from_millis(100));
    assert_eq!(config.connection_timeout, Duration::from_secs(2));
    assert_eq!(config.command_timeout, Duration::from_mins(1));
    assert!(!config.prepared_statements);
    let mut names = VARIABLES.iter().map(|variable: &Variable| variable.name);
    assert!(pairs.iter().all(|(name, _)| names.any(|known| known == *name)));
}

#[test]
fn every_problem_is_reported_with_its_variable_and_without_its_secret() {
    let report = problems(&[
        ("DATABASE_URL", "postgres://u:hunter2@h/d?schema=other"),
        ("DATABASE_SSL_MODE", "sometimes"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_MAX_OVERFLOW", "0"),
        ("DATABASE_POOL_TIMEOUT", "0"),
        ("DATABASE_COMMAND_TIMEOUT", "0"),
    ]);
    for expected in [
        "DATABASE_URL: has a value for `schema` that cannot be used: only `public`",
        "DATABASE_SSL_MODE: must be disable, allow, prefer, require, verify-ca or verify-full",
        "DATABASE_POOL_SIZE: ",
        "DATABASE_POOL_TIMEOUT: must be longer than 0",
        "DATABASE_COMMAND_TIMEOUT: must be longer than 0",
    ] {
        assert!(report.contains(expected), "{expected} in {report}");
    }
    assert!(!report.contains("hunter2"), "{report}");
    assert!(problems(&[]).contains("DATABASE_URL: is required"));
    let report = problems(&[("DATABASE_URL", "postgres://u@h/d"), ("DATABASE_SSL_ROOT_CERT", "/nowhere")]);
    assert!(report.starts_with("DATABASE_SSL_ROOT_CERT: "), "{report}");
}

#[test]
fn parameters_of_other_clients_are_understood_or_refused_by_name() {
    let good = [
        "schema=public",
        "pgbouncer=true&connection_limit=1&pool_timeout=20&socket_timeout=3&statement_cache_size=0",
        "ssl=true",
        "sslmode=no-verify",
        "sslmode=allow",
        "uselibpqcompat=true&sslmode=require",
        "application_name=x&fallback_application_name=y",
        "client_encoding=utf8&gssencmode=prefer&sslsni=1",
        "connect_timeout=3&tcp_user_timeout=2500&keepalives=1&keepalives_idle=5&keepalives_interval=2&keepalives_count=2",
        "target_session_attrs=read-write&load_balance_hosts=random&channel_binding=disable",
        "options=-c%20search_path%3Dpublic",
    ];
    for parameters in good {
        let config = Config::new(format!("postgres://u:p@h/d?{parameters}"));
        config.check().unwrap_or_else(|error| panic!("{parameters}: {error:?}"));
    }
    let bad = [
        ("nonsense=1", "`nonsense`"),
        ("sslcert=/x", "`sslcert`"),
        ("schema=mine", "`schema`"),
        ("sslmode=maybe", "`sslmode`"),
        ("gssencmode=require", "`gssencmode`"),
        ("connect_timeout=soon", "`connect_timeout`"),
        ("port=many", "`port`"),
        ("hostaddr=here", "`hostaddr`"),
        ("hostaddr=127.0.0.1,127.0.0.2", "`hostaddr`"),
        ("port=1,2", "`port`"),
        ("target_session_attrs=primary", "cannot be used"),
    ];
    for (parameters, expected) in bad {
        let config = Config::new(format!("postgres://u:hunter2@h/d?{parameters}"));
        let error = config.check().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(error.to_string().contains(expected), "{parameters}: {error}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    Config::new("postgres://u:p@/d").check().unwrap_err();
}

#[tokio::test]
async fn passwords_show_nowhere() {
    const PASSWORD: &str = "hunter2";
    let database = empty_database().await;
    let url = format!("postgres://postgres:{PASSWORD}@{}/postgres", database.address());
    let config = config(url);
    assert!(!format!("{config:?}").contains(PASSWORD));
    let error = connect(&config).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
    assert_eq!(error.sqlstate().unwrap().code(), "28P01");
    let pool = Pool::new(&config).unwrap();
    let error = pool.query(&ONE, &[]).await.unwrap_err();
    assert!(!format!("{error} {error:?} {pool:?}").contains(PASSWORD), "{error:?}");
    assert_eq!(error.to_string(), "cannot connect to the database");
}

#[tokio::test]
async fn special_characters_in_names_and_passwords_arrive() {
    let database = empty_database().await;
    let admin = database.superuser().await;
    let role = format!("we?ird@{}", database.name());
    admin.batch_execute(&format!(r#"create role "{role}" login password 'p@:/ ?#[]%''\é'"#)).await.unwrap();
    let encoded = role.replace('?', "%3F").replace('@', "%40");
    let url = format!(
        "postgres://{encoded}:p%40%3A%2F%20%3F%23%5B%5D%25%27%5C%C3%A9@{}/{}",
        database.address(),
        database.name()
    );
    connect(&config(url)).await.unwrap();
    let keys = format!(
        r"host={} port={} dbname={} user='{role}' password='p@:/ ?#[]%\'\\é'",
        database.address().ip(),
        database.address().port(),
        database.name()
    );
    connect(&config(keys)).await.unwrap();
    drop(pool(&database));
}
