//! What the client tells a server, and what it makes of answers that are none of Parlant's.

use std::error::Error as _;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use parlant_engine::{Cause, Config, ConfigError, Engine, Error};
use parlant_settings::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;

/// A server that answers every request with the same bytes, and shows what it was sent.
async fn stranger(answer: String) -> (Engine, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/behind/", listener.local_addr().unwrap());
    let (sent, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 64 * 1024];
            let length = socket.read(&mut bytes).await.unwrap();
            let _ = sent.send(String::from_utf8_lossy(&bytes[..length]).into_owned());
            // The client may have heard enough before the end.
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    let config = Config { token: Some(Secret::from("hunter2")), ..Config::new(base_url) };
    (Engine::new(&config).unwrap(), requests)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Everything that an error shows to anybody.
fn shown(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.extend([format!(" {cause}"), format!(" {cause:?}")]);
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn the_token_is_a_bearer_and_nothing_else_is_told() {
    let (engine, mut requests) = stranger(answer("200 OK", r#"{"offset":0,"id":"e"}"#)).await;
    engine.say("a/b?c", Uuid::nil(), "hello").await.unwrap();
    let request = requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    // What Parlant calls things cannot lead elsewhere.
    assert_eq!(lines.next(), Some("POST /behind/sessions/a%2Fb%3Fc/events HTTP/1.1"));
    let mut names: Vec<_> = lines.clone().map(|line| line.split(':').next().unwrap().to_ascii_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["accept", "authorization", "content-length", "content-type", "host", "user-agent"]);
    assert!(lines.any(|line| line == "authorization: Bearer hunter2"), "{head}");
    assert!(body.contains("hello") && !body.contains("hunter2"));
    assert!(!format!("{engine:?}").contains("hunter2"));
}

#[tokio::test]
async fn no_text_of_the_servers_is_in_an_error() {
    // Parlant's 403 and 429 hold all headers of the request.
    let echoed = r#"{"detail":"authorization: Bearer hunter2, Traceback, hello"}"#;
    for status in ["400 Bad Request", "403 Forbidden", "404 Not Found", "422 X", "429 X", "500 X", "503 X", "301 X"] {
        let (engine, _requests) = stranger(answer(status, echoed)).await;
        let error = engine.say("t", Uuid::nil(), "hello").await.unwrap_err();
        let expected = match &status[..3] {
            "404" => matches!(error, Error::NotFound),
            "400" | "422" => matches!(error, Error::Rejected { .. }),
            _ => matches!(error, Error::Unreachable(Cause::Status(_))),
        };
        assert!(expected, "{status}: {error:?}");
        let shown = shown(&error);
        for secret in ["hunter2", "Traceback", "hello", "127.0.0.1"] {
            assert!(!shown.contains(secret), "{status}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("location: http://{}/", there.local_addr().unwrap());
    let (engine, _requests) = stranger(format!("HTTP/1.1 307 X\r\n{location}\r\ncontent-length: 0\r\n\r\n")).await;
    let error = engine.say("t", Uuid::nil(), "hello").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(Cause::Status(307))), "{error:?}");
    assert!(tokio::time::timeout(Duration::from_millis(100), there.accept()).await.is_err());
}

#[tokio::test]
async fn only_the_engines_own_words_for_nothing_mean_nothing() {
    let (engine, _requests) = stranger(answer("504 X", r#"{"detail":"Request timed out"}"#)).await;
    assert_eq!(engine.events("t", 0, Duration::from_secs(1)).await.unwrap(), []);
    let (engine, _requests) = stranger(answer("504 X", "<h1>504 Gateway Time-out</h1>")).await;
    let error = engine.events("t", 0, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(Cause::Status(504))), "{error:?}");
}

#[tokio::test]
async fn what_is_not_parlants_is_told_from_nothing() {
    for body in ["<html>", "{}", "[{}]", r#"[{"id":"e"}]"#, "[1]", "null", ""] {
        let (engine, _requests) = stranger(answer("200 OK", body)).await;
        let error = engine.events("t", 0, Duration::ZERO).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(Cause::Garbage)), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (engine, _requests) = stranger(answer("200 OK", &" ".repeat(9 * 1024 * 1024))).await;
    let error = engine.events("t", 0, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(Cause::TooLarge(_))), "{error:?}");
}

#[test]
fn requests_are_counted_by_outcome_from_zero_on() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let (engine, _requests) = stranger(answer("404 X", "")).await;
            let line = |outcome: &str, count: u32| {
                let line = format!("parlant_engine_requests_total{{outcome=\"{outcome}\"}} {count}");
                assert!(handle.render().contains(&line), "{line} in {}", handle.render());
            };
            for outcome in ["ok", "not_found", "rejected", "failed", "unreachable"] {
                line(outcome, 0);
            }
            engine.find("t", Uuid::nil(), 0).await.unwrap_err();
            engine.events("t", 0, Duration::ZERO).await.unwrap_err();
            line("not_found", 2);
            assert!(handle.render().contains("parlant_engine_request_duration_seconds_count 1"), "{}", handle.render());
        });
    });
}

#[test]
fn a_client_that_could_not_work_is_not_built() {
    let config = Config::new("parlant.internal");
    assert!(matches!(Engine::new(&config), Err(ConfigError::BaseUrl)));
    let config = Config { token: Some(Secret::from("a\nb")), ..Config::new("http://localhost:8800") };
    let error = Engine::new(&config).unwrap_err();
    assert!(matches!(error, ConfigError::Token) && !error.to_string().contains('\n'));
}
