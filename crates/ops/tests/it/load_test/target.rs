use parlant_ops_core::load_test::{Error, Plan, Target, TokenSources};
use parlant_settings::{Secret, Settings};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::{closed, plan, run, scenario};

#[tokio::test]
async fn only_this_machine_is_loaded_unless_another_is_meant_whatever_its_name() {
    // The resolver reads the last ones as 10.0.0.1.
    for host in ["10.1.2.3", "[2001:db8::1]", "[::ffff:10.1.2.3]", "0.0.0.0", "167772161", "10.1", "0x0a000001"] {
        let url = format!("http://{host}:8001");
        let refused = Target::resolve(&url, false).await.unwrap_err();
        assert!(matches!(refused, Error::Remote { .. }), "{host}: {refused}");
        assert!(refused.to_string().contains("--allow-remote"), "{refused}");
        Target::resolve(&url, true).await.unwrap();
    }
    for host in ["127.0.0.1", "127.1", "127.8.8.8", "[::1]", "[::ffff:127.0.0.1]", "localhost"] {
        Target::resolve(&format!("http://{host}:8001"), false).await.unwrap();
    }
}

#[tokio::test]
async fn an_address_that_is_none_or_carries_credentials_is_refused_without_repeating_it() {
    for url in [
        "",
        "127.0.0.1:8001",
        "ftp://127.0.0.1",
        "http://",
        "http://user:hunter2@127.0.0.1",
        "http://127.0.0.1/?token=hunter2",
    ] {
        let refused = Target::resolve(url, true).await.unwrap_err();
        assert!(matches!(refused, Error::Address(_)) && !refused.to_string().contains("hunter2"), "{url}: {refused}");
    }
}

#[tokio::test]
async fn nobody_listening_is_told_before_anything_is_measured() {
    let mut server = Server::start().await;
    let plan = plan(&server, vec![scenario("/ok", &json!({}))], closed(1, 1)).await;
    server.refuse().await;
    let error = plan.run(&watch::Sender::default(), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_request_is_what_the_scenario_says_with_the_token_if_it_says_so() {
    let mut server = Server::start().await;
    let more = json!({
        "method": "POST", "token": true, "headers": { "X-Canary": "yes" }, "body": { "name": "Ä" },
    });
    let load = closed(1, 1);
    let token = Some(Secret::from("hunter2"));
    let plan_ = plan(&server, vec![scenario("/ok", &more)], load).await;
    assert!(!format!("{plan_:?}").contains("hunter2"));
    run(Plan { token, ..plan_ }).await;
    let request = server.last().to_lowercase();
    for line in [
        "post /ok http/1.1\r\n".to_owned(),
        format!("\r\nhost: {}\r\n", server.address),
        "\r\nauthorization: bearer hunter2\r\n".to_owned(),
        "\r\nx-canary: yes\r\n".to_owned(),
        "\r\ncontent-type: application/json\r\n".to_owned(),
        "\r\n\r\n{\"name\":\"ä\"}".to_owned(),
    ] {
        assert!(request.contains(&line), "{line:?} is not in {request}");
    }

    let token = Some(Secret::from("hunter2"));
    run(Plan { token, ..plan(&server, vec![scenario("/ok", &json!({}))], load).await }).await;
    assert!(!server.last().contains("hunter2"), "{}", server.last());

    let plan = plan(&server, vec![scenario("/ok", &more)], load).await;
    let before = server.requests();
    let error = plan.run(&watch::Sender::default(), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(&error, Error::NoToken(name) if name == "/ok"), "{error}");
    assert_eq!(server.requests(), before);
    server.refuse().await;
}

#[test]
fn a_token_file_that_cannot_be_used_is_named_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let find = || {
        let sources = TokenSources { file: Some(path.clone()), dev: None };
        sources.find(&mut Settings::from_pairs([("PARLANT_TOKEN", "other")]))
    };
    assert!(find().unwrap_err().to_string().contains("token: No such file"));
    std::fs::write(&path, "\n").unwrap();
    assert!(find().unwrap_err().to_string().contains("token: the file is empty"));
    std::fs::write(&path, "hunter2\n").unwrap();
    let token = find().unwrap().unwrap();
    assert!(!format!("{token:?}").contains("hunter2"));
}
