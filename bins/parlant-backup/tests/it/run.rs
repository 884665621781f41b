use std::fs;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::place::{Place, end};

#[tokio::test]
async fn a_run_makes_verifies_and_reports_a_backup() {
    let place = Place::new().await;
    let mut program = place.program(&["run", "--json"]);
    let metrics = place.path("parlant_backup.prom");
    program.env("BACKUP_METRICS_FILE", &metrics);
    let ended = end(program).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let json = ended.json();
    let name = json["name"].as_str().unwrap().to_owned();
    assert_eq!(
        (&json["verified"], &json["uploaded"], &json["warnings"]),
        (&true.into(), &Value::Null, &Value::from(Vec::<Value>::new()))
    );
    assert_eq!(place.files(), ["dump.zst", "manifest.json", "verified.json"].map(|ending| format!("{name}.{ending}")));

    let text = fs::read_to_string(&metrics).unwrap();
    let value = |metric: &str| -> f64 {
        text.lines().find_map(|line| line.strip_prefix(metric)).unwrap().trim().parse().unwrap()
    };
    assert!(value("parlant_backup_last_success_timestamp_seconds") > 1.7e9);
    assert!(value("parlant_backup_last_verified_timestamp_seconds") > 1.7e9);
    assert!(value("parlant_backup_last_duration_seconds") > 0.0);
    assert_eq!(Some(value("parlant_backup_last_size_bytes")), json["size_bytes"].as_f64());

    let ended = place.run(&["run", "--no-verify"]).await;
    assert!(ended.out.contains("Verified: no"), "{ended:?}");
}

#[tokio::test]
async fn the_password_is_never_in_the_arguments_of_a_process() {
    let place = Place::new().await;
    place.fill(20_000).await;
    let url = place.database.url_as("parlant_backup");
    let password = url.split([':', '@']).nth(2).unwrap().to_owned();
    assert!(password.len() >= 16, "the password of the tests is one that nothing else contains");
    let program = place.program(&["run", "--json"]).spawn().unwrap();
    let mut watched = tokio::spawn(program.wait_with_output());
    let mut seen = 0;
    let output = loop {
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            assert!(!command.contains(&password), "{command}");
            seen += usize::from(command.contains("--snapshot="));
        }
        if let Ok(output) = tokio::time::timeout(std::time::Duration::from_millis(5), &mut watched).await {
            break output.unwrap().unwrap();
        }
    };
    assert!(output.status.success(), "{output:?}");
    assert!(seen > 0, "pg_dump was seen");
    for text in [output.stdout, output.stderr] {
        assert!(!String::from_utf8(text).unwrap().contains(&password));
    }
}

#[tokio::test]
async fn a_failure_tells_slack_and_keeps_the_numbers_of_the_last_success() {
    let place = Place::new().await;
    let slack = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = slack.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = slack.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).await.unwrap();
            request.extend_from_slice(&piece[..length]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let metrics = place.path("parlant_backup.prom");
    fs::write(&metrics, "parlant_backup_last_success_timestamp_seconds 1700000000\n").unwrap();
    place.script("pg_dump", "echo 'pg_dump (PostgreSQL) 9.6.24'");
    let mut program = place.program(&["run", "--no-verify", "--json"]);
    program
        .env("PG_BIN_DIR", place.path("bin"))
        .env("BACKUP_METRICS_FILE", &metrics)
        .env("SLACK_WEBHOOK_URL", format!("http://{address}/services/T0/B0/hook"));
    let ended = end(program).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.json()["error"].as_str().unwrap().contains("9.6.24"));
    assert!(ended.err.contains("9.6.24"));
    let request = heard.await.unwrap();
    assert!(request.starts_with("POST /services/T0/B0/hook "), "{request}");
    assert!(request.contains("The backup failed") && request.contains("9.6.24"), "{request}");
    let text = fs::read_to_string(&metrics).unwrap();
    assert!(text.contains("parlant_backup_last_success_timestamp_seconds 1700000000\n"), "{text}");
    assert!(text.contains("parlant_backup_last_verified_timestamp_seconds 0\n"), "{text}");
}

#[tokio::test]
async fn a_full_disk_ends_the_run_and_leaves_nothing() {
    let place = Place::new().await;
    place.fill(2_000).await;
    assert_eq!(place.run(&["run", "--no-verify"]).await.code, Some(0));
    let before = place.files();
    // A limit on the size of files is a disk that is full for whoever writes one; 16 blocks of 1024 bytes.
    let mut shell = tokio::process::Command::new("bash");
    place.environment(&mut shell);
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" run --no-verify --json";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_parlant-backup")]);
    let ended = end(shell).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let error = ended.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("cannot write") && error.contains("File too large"), "{error}");
    assert_eq!(place.files(), before);
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_given_up_and_leaves_nothing() {
    let place = Place::new().await;
    place.script(
        "pg_dump",
        "[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 99.1' && exit\nprintf PGDMP; exec sleep 600",
    );
    let mut program = place.program(&["run", "--timeout", "2s", "--json"]);
    program.env("PG_BIN_DIR", place.path("bin"));
    let ended = end(program).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.json()["error"].as_str().unwrap().contains("its time limit"), "{ended:?}");
    assert_eq!(place.files(), [""; 0]);
}

#[tokio::test]
async fn a_bucket_out_of_reach_leaves_the_backup_in_the_directory() {
    let place = Place::new().await;
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut program = place.program(&["run", "--no-verify", "--no-prune", "--json"]);
    program
        .env("S3_BUCKET", "backups")
        .env("S3_ENDPOINT", format!("http://{refused}"))
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "hunter2hunter2");
    let ended = end(program).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let json = ended.json();
    assert_eq!(json["uploaded"], false);
    assert!(json["upload_error"].as_str().unwrap().contains("s3://backups"), "{json}");
    assert!(!format!("{ended:?}").contains("hunter2"));
    let name = json["name"].as_str().unwrap();
    assert_eq!(place.files(), ["dump.zst", "manifest.json"].map(|ending| format!("{name}.{ending}")));
}

#[tokio::test]
async fn archives_are_encrypted_by_the_program_age() {
    let place = Place::new().await;
    // Stands in for the real one, which the suites use: what goes in comes out, marked.
    place.script("age", "[ \"$*\" = '--encrypt --recipient age1good' ] || { echo 'age: error: malformed recipient' >&2; exit 1; }\nprintf SEALED; exec cat");
    let mut program = place.program(&["run", "--no-verify", "--json"]);
    program.env("BACKUP_AGE_RECIPIENT", "age1good");
    let ended = end(program).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let archive = ended.json()["archive"].as_str().unwrap().to_owned();
    assert!(archive.ends_with(".dump.zst.age"), "{archive}");
    let sealed = fs::read(&archive).unwrap();
    let inside = sealed.strip_prefix(b"SEALED").unwrap();
    assert_eq!(&inside[..4], [0x28, 0xb5, 0x2f, 0xfd], "a zstd frame");

    for (recipient, expected) in [("age1bad", "malformed recipient"), ("nonsense", "BACKUP_AGE_RECIPIENT")] {
        let before = place.files();
        let mut program = place.program(&["run", "--no-verify"]);
        program.env("BACKUP_AGE_RECIPIENT", recipient);
        let ended = end(program).await;
        assert_eq!(ended.code, Some(if recipient == "nonsense" { 78 } else { 1 }), "{ended:?}");
        assert!(ended.err.contains(expected), "{ended:?}");
        assert_eq!(place.files(), before);
    }
}

#[tokio::test]
async fn the_exit_code_says_who_is_to_blame() {
    let place = Place::new().await;
    assert_eq!(place.run(&["backup"]).await.code, Some(64));
    let mut program = place.program(&["run"]);
    program.env_remove("DATABASE_URL").env("RETENTION_DAYS", "many");
    let ended = end(program).await;
    assert_eq!(ended.code, Some(78));
    assert!(ended.err.contains("DATABASE_URL: is required") && ended.err.contains("RETENTION_DAYS: "), "{ended:?}");

    fs::create_dir(place.path("backups")).unwrap();
    let lock = fs::File::create(place.path("backups").join(".lock")).unwrap();
    fs::write(place.path("backups").join(".lock"), "parlant-backup, process 7\n").unwrap();
    lock.lock().unwrap();
    let ended = place.run(&["run"]).await;
    assert_eq!(ended.code, Some(4));
    assert!(ended.err.contains("locked by parlant-backup, process 7"), "{ended:?}");
    drop(lock);

    fs::remove_dir_all(place.path("backups")).unwrap();
    fs::write(place.path("backups"), "not a directory").unwrap();
    let ended = place.run(&["run"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("cannot make"), "{ended:?}");
}
