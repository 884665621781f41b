use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::deployment::{start_id, until};
use crate::service::{Service, steps};

#[tokio::test]
async fn a_restart_brings_a_new_process_and_asks_it_for_what_it_should_do() {
    let (service, before) = Service::running().await;
    let (code, report) = service.restarted(&[]).await;
    assert_eq!(code, 0, "{report}");
    let after = start_id(&service.url).await.unwrap();
    assert_eq!((&report["outcome"], &report["before"]["start_id"]), (&"good".into(), &before.as_str().into()));
    assert_eq!(report["after"]["start_id"], after.as_str());
    assert_ne!(before, after);
    for step in ["unit", "database", "configuration", "systemctl", "service"] {
        assert_eq!(steps(&report, step)[0].0, "ok", "{report}");
    }
    let validated: Vec<_> = steps(&report, "validate").into_iter().map(|(status, detail)| (status, detail)).collect();
    assert_eq!(validated[1..], [("ok", "/api/v1/auth/status: 200"), ("ok", "/metrics: 200")]);
    let log = service.read("logs/restart.log");
    assert_eq!(log.lines().count(), report["steps"].as_array().unwrap().len());
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["unit"] == service.unit.as_str()));
    // The same program lies there: nothing is kept.
    assert!(steps(&report, "keep").is_empty() && !service.path("parlant-server.previous").exists());
}

#[tokio::test]
async fn people_read_each_step_as_it_is_done() {
    let (service, _) = Service::running().await;
    let line = format!(
        "{} restart --unit {}.service --url {}/ --log-file restart.log",
        env!("CARGO_BIN_EXE_parlant-ops"),
        service.unit,
        service.url
    );
    let output = service.shell(&line).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("ok       database       it takes connections\n"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("Good, after "), "{text}");
}

#[tokio::test]
async fn a_new_program_that_does_not_start_can_be_taken_back_by_the_command_that_is_told() {
    let (service, before) = Service::running().await;
    service.install(|program| fs::write(program, "#!/bin/sh\n[ \"$1\" = check-config ] || exit 1\n").unwrap());
    let (code, report) = service.restarted(&[]).await;
    assert_eq!((code, &report["outcome"]), (1, &"failed".into()), "{report}");
    assert!(steps(&report, "systemctl")[0].1.contains("failed because the control process exited"), "{report}");
    assert_eq!(steps(&report, "keep")[0].0, "ok", "{report}");
    let advice: Vec<_> = report["advice"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(advice.iter().any(|line| line.contains(&before) && line.contains(env!("CARGO_PKG_VERSION"))), "{advice:?}");
    let back = advice.iter().find_map(|line| line.strip_prefix("Go back to it: ")).unwrap();
    let output = service.shell(back).await;
    assert!(output.status.success(), "{output:?}");
    assert!(start_id(&service.url).await.is_some_and(|id| id != before));
}

#[tokio::test]
async fn an_old_process_that_does_not_end_is_not_taken_for_the_new_one() {
    let (service, before) = Service::running().await;
    // systemd says that it is done, and names another process.
    service.write("mode", "stuck");
    let start = Instant::now();
    let (code, report) = service.restarted(&["--max-wait", "3s"]).await;
    assert_eq!(code, 1, "{report}");
    assert_eq!(steps(&report, "service"), [("failed", &*format!("start_id {before} answers, and not a new process"))]);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());

    // systemd waits for it, longer than anybody should.
    service.write("mode", "hangs");
    let (code, report) = service.restarted(&["--max-wait", "2s"]).await;
    assert_eq!(code, 1, "{report}");
    assert!(steps(&report, "systemctl")[0].1.contains("which ran before, still runs"), "{report}");
    assert_eq!(start_id(&service.url).await, Some(before));
}

#[tokio::test]
async fn a_second_operator_is_refused_until_the_first_one_is_done() {
    let (service, before) = Service::running().await;
    service.write("mode", "hangs");
    let mut first = service.restart(&["--max-wait", "10m"]).spawn().unwrap();
    until("the first one restarts", async || service.read("calls").contains("restart").then_some(())).await;
    let (code, report) = service.restarted(&[]).await;
    assert_eq!((code, &report["outcome"]), (4, &"locked".into()), "{report}");
    first.kill().await.unwrap();
    service.write("mode", "");
    let (code, report) = service.restarted(&[]).await;
    assert_eq!(code, 0, "{report}");
    assert_ne!(start_id(&service.url).await, Some(before));
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    let (service, before) = Service::running().await;
    let (code, report) = service.restarted(&["--dry-run"]).await;
    assert_eq!(code, 0, "{report}");
    let would = format!("would run `systemctl restart {}`", service.unit);
    assert_eq!(steps(&report, "systemctl"), [("skipped", would.as_str())]);
    assert_eq!(start_id(&service.url).await, Some(before));
    assert!(!service.path("logs").exists(), "no log");
    assert!(!Path::new(&format!("/run/lock/parlant-restart-{}", service.unit)).exists(), "no lock");
    assert!(service.read("calls").lines().all(|call| call.starts_with("start ") || call.starts_with("show ")));
}

#[tokio::test]
async fn a_database_that_is_down_is_a_warning_and_a_wrong_configuration_a_refusal() {
    let (service, before) = Service::running().await;
    service.proxy.refuse().await;
    let (code, report) = service.restarted(&["--dry-run"]).await;
    assert_eq!(code, 0, "{report}");
    let [("warning", reason)] = steps(&report, "database")[..] else { panic!("{report}") };
    assert!(reason.starts_with("out of reach"), "{reason}");
    service.proxy.restore().await;

    service.write("server.env", &format!("{}RATE_LIMIT_BURST=many\n", service.read("server.env")));
    let (code, report) = service.restarted(&[]).await;
    assert_eq!((code, &report["outcome"]), (3, &"refused".into()), "{report}");
    let [("failed", problem)] = steps(&report, "configuration")[..] else { panic!("{report}") };
    assert!(problem.contains("RATE_LIMIT_BURST: must be a whole number"), "{problem}");
    assert_eq!(start_id(&service.url).await, Some(before));
    // Whoever insists gets what was foretold.
    let (code, report) = service.restarted(&["--force"]).await;
    assert_eq!(code, 1, "{report}");
}

#[tokio::test]
async fn a_reload_keeps_the_process_and_a_service_that_does_not_run_is_started() {
    let service = Service::new().await;
    let (code, report) = service.restarted(&[]).await;
    assert_eq!((code, &report["before"]), (0, &Value::Null), "{report}");
    let id = start_id(&service.url).await;
    let (code, report) = service.restarted(&["--reload"]).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(start_id(&service.url).await, id);
    until("it reloads", async || service.read("log").contains("Reloaded").then_some(())).await;
}

#[tokio::test]
async fn who_has_no_right_is_told_which_and_nothing_was_done() {
    let (service, before) = Service::running().await;
    service.write("mode", "denied");
    let (code, report) = service.restarted(&[]).await;
    assert_eq!((code, &report["outcome"]), (3, &"refused".into()), "{report}");
    let said = steps(&report, "systemctl")[0].1;
    assert!(said.contains("sudo") && said.contains("org.freedesktop.systemd1.manage-units"), "{said}");
    assert_eq!(start_id(&service.url).await, Some(before));
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_restarted_all_the_same() {
    let (service, before) = Service::running().await;
    let pid = service.read("pid").trim().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let restart = service.restart(&[]).spawn().unwrap();
    until("it is asked to stop", async || service.read("calls").contains("restart").then_some(())).await;
    // As systemd would at the end of its patience.
    kill_process(pid, Signal::KILL).unwrap();
    let output = restart.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(start_id(&service.url).await.is_some_and(|id| id != before));
}

#[tokio::test]
async fn a_dry_run_does_not_start_a_service_by_knocking_at_its_socket() {
    let service = Service::new().await;
    let socket = TcpListener::bind(service.url.trim_start_matches("http://")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let (code, report) = service.restarted(&["--dry-run"]).await;
    assert_eq!(code, 0, "{report}");
    assert!(steps(&report, "systemctl")[0].1.contains("systemctl start"), "{report}");
    assert_eq!(socket.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn the_configuration_is_read_as_the_services_user_reads_it() {
    let service = Service::new().await;
    fs::set_permissions(service.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(service.path(".env"), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, report) = service.restarted(&["--dry-run"]).await;
    assert_eq!(code, 0, "{report}");
    // Only root can be somebody else.
    let is_root = rustix::process::geteuid().is_root();
    service.write("user", "nobody");
    let (code, report) = service.restarted(&["--dry-run"]).await;
    assert_eq!(code, if is_root { 3 } else { 0 }, "{report}");
    assert_eq!(steps(&report, "configuration")[0].1.contains(".env: cannot be read"), is_root, "{report}");
}
