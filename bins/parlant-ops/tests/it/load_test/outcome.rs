use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Server, load_test, report, scenario_file, text};

#[test]
fn the_exit_code_says_whether_thresholds_are_met() {
    let server = Server::start();
    let health = ["--scenario", "health", "--requests", "50"];
    for (arguments, code, said) in [
        (&[][..], 0, "met      health max_error_rate 0"),
        (
            &["--max-p50", "10s", "--max-p95", "10s", "--max-p99", "10s", "--max-p99.9", "10s", "--min-rate", "0.1"],
            0,
            "min_rate 0.1",
        ),
        (&["--max-p95", "1ms", "--max-error-rate", "100%"], 99, "NOT MET  health max_p95_seconds 0.001"),
        (&["--min-rate", "1000000"], 99, "NOT MET  health min_rate 1000000"),
        (&["--scenario", "auth-status", "--token-file", "/dev/null"], 1, "the file is empty"),
        (&["--scenario", "helth"], 1, r#"there is no scenario "helth", but health, agents, auth-status"#),
        (&["--url", "http://10.1.2.3"], 64, "cannot be used multiple times"),
    ] {
        let output = load_test(&server, &[&health, arguments].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(said), "{arguments:?}: {}", text(&output));
        assert_eq!(output.stdout.is_empty(), [1, 64].contains(&code), "{}", text(&output));
    }
    let slow = scenario_file("/slow");
    let file = ["--scenarios", slow.path().to_str().unwrap(), "--rate", "20", "--requests", "10"];
    let output = load_test(&server, &[&file[..], &["--max-p50", "50ms"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(99), "{}", text(&output));
}

#[test]
fn a_failing_scenario_fails_the_run_unless_that_is_allowed_and_a_missing_token_is_no_401() {
    let server = Server::start();
    let output = load_test(&server, &["--requests", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains(r#"the scenario "agents" needs a token"#), "{}", text(&output));
    assert!(server.requests().is_empty(), "{:?}", server.requests());

    let with_token = |arguments: &[&str]| load_test(&server, arguments).env("PARLANT_TOKEN", "t").output().unwrap();
    let output = with_token(&["--requests", "5"]);
    assert_eq!(output.status.code(), Some(99), "{}", text(&output));
    assert!(text(&output).contains("503 unexpected"), "{}", text(&output));
    assert_eq!(with_token(&["--requests", "5", "--max-error-rate", "100%"]).status.code(), Some(0));
}

#[test]
fn another_machine_is_refused_whatever_its_name() {
    for url in ["http://10.1.2.3:8001", "http://167772161:8001"] {
        let output = crate::run(&["load-test", "--scenario", "health", "--url", url]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("--allow-remote"), "{}", text(&output));
    }
}

#[test]
fn an_interrupt_ends_it_at_once_and_what_was_measured_is_reported() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::start();
        let hanging = scenario_file("/hanging");
        let arguments = [
            "--scenarios",
            hanging.path().to_str().unwrap(),
            "--rate",
            "100",
            "--duration",
            "1h",
            "--timeout",
            "200ms",
        ];
        let mut command = load_test(&server, &[&arguments[..], &["--json", "--max-error-rate", "100%"]].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while server.requests().len() < 50 {
            assert!(Instant::now() < deadline);
            std::thread::park_timeout(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let report = report(&output);
        assert_eq!((&report["interrupted"], &report["met"]), (&true.into(), &true.into()), "{report:#}");
        let seen = &report["loads"][0]["scenarios"][0];
        assert!(seen["requests"].as_u64() > Some(20) && seen["unfinished"].as_u64() > Some(0), "{report:#}");
        assert!(report["duration_seconds"].as_f64() < Some(50.0), "{report:#}");
    }
}
