use std::process::Command;

use super::{Server, load_test, report, scenario_file, text};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

#[test]
fn a_generator_without_sockets_does_not_blame_the_server() {
    let server = Server::start();
    let slow = scenario_file("/slow");
    let program = load_test(&server, &["--scenarios", slow.path().to_str().unwrap(), "--concurrency", "50"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 30; exec \"$@\"", "sh"]).arg(program.get_program()).args(program.get_args());
    let output = limited.args(["--requests", "100", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(99), "{}", text(&output));
    let report = report(&output);
    let scenario = &report["loads"][0]["scenarios"][0];
    assert_eq!(scenario["error_kinds"][0]["kind"], "generator", "{report:#}");
    assert!(scenario["error_kinds"][0]["example"].as_str().unwrap().contains("Too many open files"), "{report:#}");
    assert!(scenario["good"].as_u64() > Some(0), "{report:#}");
}

#[test]
fn a_certificate_is_checked_and_a_broken_handshake_is_counted() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let server = Server::encrypted(config.unwrap());
    let url = format!("https://localhost:{}", server.address.port());
    let last = scenario_file("/last");
    let run = |authority: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parlant-ops"));
        command.args(["load-test", "--json", "--concurrency", "1", "--requests", "3", "--scenarios"]).arg(last.path());
        command.args(["--url", &url]).env_clear().env("SSL_CERT_FILE", authority).output().unwrap()
    };
    let output = run(authority.path().to_str().unwrap());
    let report = report(&output);
    let scenario = &report["loads"][0]["scenarios"][0];
    assert_eq!((&scenario["good"], &scenario["errors"]), (&1.into(), &2.into()), "{report:#}");
    assert_eq!(scenario["error_kinds"][0]["kind"], "tls", "{report:#}");

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(authority.path(), other.cert.pem()).unwrap();
    let output = run(authority.path().to_str().unwrap());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}
