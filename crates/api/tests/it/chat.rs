//! The page on which somebody who tries the product out talks to an agent: whom it signs in, and whom not.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header;
use actix_web::test::{TestRequest, call_service, init_service};
use parlant_api::{Chat, app};
use parlant_test_support::{database, signed};
use reqwest::Method;

use crate::house::{Options, People, Server, answer};
use crate::openapi::complete_in_itself;

const SECRET: &str = "a-secret-of-32-characters-or-more";

/// A server with the page, for whom it signs in.
async fn options() -> (Options, People, parlant_test_support::TestDatabase) {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let mut options = Options::new(&database);
    options.auth.better_auth_secret = Some(SECRET.into());
    options.chat = Some(Chat { token: signed(&people.ada_token, SECRET).into() });
    (options, people, database)
}

#[tokio::test]
async fn without_it_there_is_no_such_path() {
    let database = database().await;
    let server = Server::start(&database);
    server.get("/").await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn it_signs_in_whoever_opens_it_on_this_machine() {
    let (options, people, _database) = options().await;
    let server = Server::with(options);
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    complete_in_itself(&page);
    let cookie = page.header("set-cookie");
    let (cookie, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
    assert!(!page.text.contains(&people.ada_token));
    let me = answer(server.request(Method::GET, "/api/v1/auth/me").header("cookie", cookie)).await;
    assert_eq!(me.expect(200)["user"]["id"], *people.ada);
}

#[tokio::test]
async fn it_signs_in_nobody_from_elsewhere_or_under_a_name_that_others_gave() {
    let (options, _people, _database) = options().await;
    let (state, _pool) = options.state();
    let app = init_service(app(&state, &[])).await;
    for (peer, host, expected) in [
        ("127.0.0.1", "127.0.0.1:8001", true),
        ("127.0.0.1", "[::1]:8001", true),
        ("::1", "[::1]", true),
        ("::ffff:127.0.0.1", "127.0.0.1", true),
        ("127.0.0.1", "rebound.example:8001", false),
        ("127.0.0.1", "localhost.example", false),
        ("192.0.2.7", "127.0.0.1:8001", false),
        ("::ffff:192.0.2.7", "127.0.0.1:8001", false),
    ] {
        let peer = SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 4711);
        let request = || TestRequest::get().uri("/").peer_addr(peer).insert_header((header::HOST, host));
        let answer = call_service(&app, request().to_request()).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers().contains_key(header::SET_COOKIE), expected, "{peer} {host}");
        for proxys in ["x-forwarded-for", "X-Forwarded-Host", "forwarded", "via", "x-real-ip"] {
            let answer = call_service(&app, request().insert_header((proxys, "127.0.0.1")).to_request()).await;
            assert!(!answer.headers().contains_key(header::SET_COOKIE), "{proxys}");
        }
    }
}

#[tokio::test]
async fn it_leaves_the_cookies_of_localhost_to_the_sim_that_runs_there() {
    let (options, ..) = options().await;
    let server = Server::with(options);
    let client = reqwest::Client::builder().tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    let request = client.get(format!("http://{}/", server.address)).header("host", "LocalHost:1234");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["location"], "http://127.0.0.1:1234/");
    assert!(!answer.headers().contains_key("set-cookie"));
}
