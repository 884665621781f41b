//! How much may be asked, by whom, and whose word counts on who that is.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::Bytes;
use futures_util::stream;
use parlant_api::metrics::{RATE_LIMITED, REQUESTS};
use parlant_api::{Endpoint, RateLimit, State, app};
use parlant_auth_bridge::{Answer as Told, AuthBridge, Identity, Reason, SessionToken, Source};
use parlant_test_support::{ChaosProxy, TestDatabase, database};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::json;

use crate::house::{Answer, Options, People, Server, answer, completed, eventually, logged, scraped};

const STATUS: &str = "/api/v1/auth/status";
const ME: &str = "/api/v1/auth/me";

fn limit(per_minute: u32, burst: u32, invalid_tokens: u32) -> Option<RateLimit> {
    let (per_minute, burst) = NonZeroU32::new(per_minute).zip(NonZeroU32::new(burst))?;
    Some(RateLimit { per_minute, burst, invalid_tokens: NonZeroU32::new(invalid_tokens) })
}

/// One request in ten seconds comes back: nothing in the time that a test takes.
fn at_most(burst: u32) -> Option<RateLimit> {
    limit(6, burst, 0)
}

fn server(database: &TestDatabase, options: impl FnOnce(&mut Options)) -> Server {
    let mut all = Options::new(database);
    options(&mut all);
    Server::with(all)
}

/// Somebody at one of this machine's addresses.
struct From<'a> {
    server: &'a Server,
    client: Client,
}

impl<'a> From<'a> {
    fn address(server: &'a Server, address: &str) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let client = Client::builder().tls_certs_only([]).local_address(address).build().unwrap();
        Self { server, client }
    }

    fn request(&self, path: &str) -> RequestBuilder {
        self.client.request(Method::GET, format!("http://{}{path}", self.server.address))
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        answer(self.request(path).bearer_auth(token)).await
    }

    /// As `client`, if the server believes it.
    async fn forwarded(&self, client: &str) -> Answer {
        answer(self.request(STATUS).header("x-forwarded-for", client)).await
    }
}

/// A token of the right form that nobody has.
fn invented() -> String {
    (0..32).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect()
}

#[track_caller]
fn assert_left(answer: &Answer, limit: u32, remaining: u32, reset: u32) {
    let headers = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    let told = headers.map(|name| answer.header(name).parse::<u32>().unwrap());
    assert_eq!(told, [limit, remaining, reset], "{answer:?}");
}

#[track_caller]
fn assert_limited(answer: &Answer, limit: u32) {
    assert!(answer.refused(429, "RATE_LIMIT_EXCEEDED").is_null());
    let [told, remaining, reset, wait] =
        ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"]
            .map(|name| answer.header(name).parse::<u32>().unwrap());
    assert_eq!((told, remaining), (limit, 0));
    assert!((1..=reset).contains(&wait), "{answer:?}");
}

async fn stream_of_three() -> HttpResponse {
    HttpResponse::Ok().streaming(stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"piece")))))
}

#[tokio::test]
async fn every_credential_has_a_bucket_of_its_own_and_so_has_the_address_of_those_without() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = server(&database, |options| {
        options.rate_limit = at_most(5);
        options.more = |config| Endpoint::new("/test/streams").get(stream_of_three).mount(config);
    });
    let (ada, bob) = (server.caller(&people.ada_token), server.caller(&people.bob_token));
    let limited = |reason| scraped(RATE_LIMITED, &[("reason", reason)]);
    let (by_credential, by_address) = (limited("credential"), limited("address"));

    for (path, remaining, reset) in
        [(ME, 4, 10), ("/test/streams", 3, 20), ("/api/v1/agents", 2, 30), (STATUS, 1, 40), ("/nowhere", 0, 50)]
    {
        assert_left(&ada.get(path).await, 5, remaining, reset);
    }
    for path in [ME, "/test/streams", "/api/v1/agents", STATUS, "/nowhere"] {
        assert_limited(&ada.get(path).await, 5);
    }
    // A session is one however it is presented.
    let other = server.request(Method::GET, ME).header("authorization", format!("bearer   {}", people.ada_token));
    assert_limited(&answer(other).await, 5);
    assert_left(&bob.get(ME).await, 5, 4, 10);

    // Neither of the two has cost the address anything in the end.
    for (path, remaining) in [(STATUS, 4), (ME, 3), ("/nowhere", 2), ("/api/v1/agents", 1), ("/nowhere/else", 0)] {
        assert_left(&server.get(path).await, 5, remaining, 10 * (5 - remaining));
    }
    for path in [STATUS, ME, "/nowhere", "/api/v1/agents"] {
        assert_limited(&server.get(path).await, 5);
    }
    assert_limited(&server.caller(&invented()).get(ME).await, 5);
    assert_left(&bob.get(ME).await, 5, 3, 20);
    assert_left(&From::address(&server, "127.0.0.2").get(STATUS, &invented()).await, 5, 4, 10);

    assert!(limited("credential") >= by_credential + 6.0);
    assert!(limited("address") >= by_address + 5.0);
    let counted = [("method", "GET"), ("endpoint", "/test/streams"), ("status", "429")];
    assert!(scraped(REQUESTS, &counted) >= 1.0, "counted under its route");
}

#[tokio::test]
async fn probes_and_scrapes_are_not_limited() {
    let database = database().await;
    let server = server(&database, |options| options.rate_limit = at_most(1));
    server.get(STATUS).await.expect(200);
    assert_limited(&server.get(STATUS).await, 1);
    for path in ["/livez", "/readyz", "/health", "/metrics", "/livez/"] {
        for _ in 0..3 {
            let answer = server.get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("x-ratelimit-limit"), "", "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_used_up_comes_back_when_it_was_said_to() {
    let database = database().await;
    let server = server(&database, |options| options.rate_limit = limit(60, 1, 0));
    let asked = Instant::now();
    server.get(STATUS).await.expect(200);
    let limited = server.get(STATUS).await;
    assert_limited(&limited, 1);
    assert_eq!(limited.header("retry-after"), "1");
    eventually("answered again", async || server.get(STATUS).await.status == 200).await;
    assert!(asked.elapsed() > Duration::from_millis(950), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_strangers_word_on_where_it_comes_from_does_not_count() {
    let database = database().await;
    for trusted in ["", "192.0.2.0/24, 127.0.0.9"] {
        let server = server(&database, |options| {
            options.rate_limit = at_most(3);
            options.trusted_proxies = trusted.parse().unwrap();
        });
        let stranger = From::address(&server, "127.0.0.1");
        for (remaining, client) in [(2, "198.51.100.1"), (1, "192.0.2.1"), (0, "2001:db8::1, 127.0.0.9")] {
            assert_left(&stranger.forwarded(client).await, 3, remaining, 10 * (3 - remaining));
        }
        let standard = stranger.request(STATUS).header("forwarded", "for=198.51.100.3");
        assert_limited(&answer(standard).await, 3);
        let id = format!("stranger-{}", trusted.len());
        for number in 0..2 {
            let id = format!("{id}-{number}");
            let request = stranger.request(STATUS).header("x-forwarded-for", "198.51.100.2");
            assert_limited(&answer(request.header("x-request-id", &id)).await, 3);
            completed(&id).await;
            let suspected =
                logged(&id).iter().any(|line| line["message"].as_str().unwrap().contains("TRUSTED_PROXIES"));
            assert_eq!(suspected, number == 0, "said once");
        }
        let request = stranger.request("/livez").header("x-forwarded-for", "198.51.100.1");
        answer(request.header("x-request-id", &id)).await;
        assert_eq!(completed(&id).await["client"], "127.0.0.1");
    }
}

#[tokio::test]
async fn behind_trusted_proxies_each_client_counts_for_itself() {
    let database = database().await;
    let server = server(&database, |options| {
        options.rate_limit = at_most(2);
        options.trusted_proxies = "127.0.0.0/30, 192.0.2.0/24".parse().unwrap();
    });
    let (proxy, other) = (From::address(&server, "127.0.0.1"), From::address(&server, "127.0.0.2"));
    assert_left(&proxy.forwarded("198.51.100.1").await, 2, 1, 10);
    assert_left(&other.forwarded("203.0.113.7, 198.51.100.1, 192.0.2.8").await, 2, 0, 20);
    for spoofed in ["198.51.100.1", "203.0.113.99, 198.51.100.1", "198.51.100.1:1234", "::ffff:198.51.100.1"] {
        assert_limited(&proxy.forwarded(spoofed).await, 2);
    }
    assert_left(&proxy.forwarded("198.51.100.1, 198.51.100.2").await, 2, 1, 10);
    // A subscriber's network of IPv6 is one client.
    assert_left(&proxy.forwarded("2001:db8::1").await, 2, 1, 10);
    assert_left(&proxy.forwarded("[2001:db8::ffff:ffff:ffff:ffff]:443").await, 2, 0, 20);
    assert_limited(&proxy.forwarded("2001:db8::2").await, 2);
    assert_left(&proxy.forwarded("2001:db8:0:1::1").await, 2, 1, 10);
    // One that is not trusted counts for itself.
    let untrusted = From::address(&server, "127.0.0.7");
    for (remaining, client) in [(1, "198.51.100.10"), (0, "198.51.100.11")] {
        assert_left(&untrusted.forwarded(client).await, 2, remaining, 10 * (2 - remaining));
    }
    assert_limited(&untrusted.forwarded("198.51.100.12").await, 2);

    let request = proxy.request("/livez").header("x-forwarded-for", "203.0.113.7, 198.51.100.1, 192.0.2.8");
    answer(request.header("x-request-id", "forwarded")).await;
    assert_eq!(completed("forwarded").await["client"], "198.51.100.1");
}

#[tokio::test]
async fn those_who_sign_in_behind_one_address_do_not_use_it_up() {
    let database = database().await;
    let sim = database.sim().await;
    let user = sim.user("Ada").await;
    let server = server(&database, |options| options.rate_limit = at_most(9));
    for _ in 0..20 {
        let token = sim.session(&user).await;
        assert_left(&server.caller(&token).get(ME).await, 9, 8, 10);
    }
    // A page asks for many things at once.
    let token = sim.session(&user).await;
    let caller = server.caller(&token);
    let page = futures_util::future::join_all((0..7).map(|_| caller.get(ME))).await;
    assert!(page.iter().all(|answer| answer.status == 200));
    assert_left(&caller.get(ME).await, 9, 1, 80);
    assert_left(&server.get(STATUS).await, 9, 8, 10);
}

#[tokio::test]
async fn who_signs_out_is_a_stranger_again() {
    let database = database().await;
    let people = People::of(&database.sim().await).await;
    let server = server(&database, |options| options.rate_limit = limit(6, 1000, 0));
    let ada = server.caller(&people.ada_token);
    for remaining in (990..1000).rev() {
        assert_eq!(ada.get(ME).await.header("x-ratelimit-remaining"), remaining.to_string());
    }
    let sign_out = format!("delete from session where token = '{}'", people.ada_token);
    database.superuser().await.batch_execute(&sign_out).await.unwrap();
    eventually("signed out", async || ada.get(ME).await.status == 401).await;
    assert_left(&ada.get(ME).await, 1000, 999, 10);
}

#[tokio::test]
async fn who_guesses_is_refused_unasked_and_harms_nobody_who_is_known() {
    let database = database().await;
    let proxy = ChaosProxy::start(database.address()).await;
    let people = People::of(&database.sim().await).await;
    let mut options = Options::at(database.url_through(proxy.address()));
    options.rate_limit = limit(600, 200, 3);
    let server = Server::with(options);
    let (here, elsewhere) = (From::address(&server, "127.0.0.1"), From::address(&server, "127.0.0.3"));
    let limited = scraped(RATE_LIMITED, &[("reason", "invalid_tokens")]);
    here.get(ME, &people.ada_token).await.expect(200);

    // One token again and again is no guessing.
    let old = invented();
    for _ in 0..6 {
        here.get(ME, &old).await.refused(401, "INVALID_TOKEN");
    }
    for _ in 0..2 {
        here.get(ME, &invented()).await.refused(401, "INVALID_TOKEN");
    }
    assert_limited(&here.get(ME, &invented()).await, 3);
    assert_limited(&here.get(STATUS, &people.bob_token).await, 3);
    let validate = |token: String| {
        let request = here.client.post(format!("http://{}/api/v1/auth/validate", server.address));
        answer(request.json(&json!({ "token": token })))
    };
    assert_limited(&validate(invented()).await, 3);
    assert_eq!(validate(people.ada_token.clone()).await.expect(200)["valid"], true);
    here.get(ME, &people.ada_token).await.expect(200);
    here.request(STATUS).send().await.unwrap().error_for_status().unwrap();
    elsewhere.get(ME, &people.bob_token).await.expect(200);
    here.get(ME, &people.bob_token).await.expect(200);
    assert!(scraped(RATE_LIMITED, &[("reason", "invalid_tokens")]) >= limited + 3.0);

    // The source could not be asked, and was not; an outage is held against nobody.
    proxy.refuse().await;
    proxy.cut();
    assert_limited(&here.get(ME, &invented()).await, 3);
    for _ in 0..6 {
        elsewhere.get(ME, &invented()).await.refused(503, "SERVICE_UNAVAILABLE");
    }
}

#[tokio::test]
async fn guesses_in_the_bodies_of_validations_count_as_well() {
    let database = database().await;
    let server = server(&database, |options| options.rate_limit = limit(600, 200, 3));
    let validate = async || {
        let request = server.request(Method::POST, "/api/v1/auth/validate").json(&json!({ "token": invented() }));
        answer(request).await
    };
    for _ in 0..3 {
        assert_eq!(validate().await.expect(200)["valid"], false);
    }
    assert_limited(&validate().await, 3);
    assert_limited(&server.caller(&invented()).get(ME).await, 3);
}

#[tokio::test]
async fn guesses_are_forgiven_with_time() {
    let database = database().await;
    let server = server(&database, |options| options.rate_limit = limit(6000, 1000, 60));
    let guess = async || server.caller(&invented()).get(ME).await.status.as_u16();
    let mut guesses = 0;
    while guess().await == 401 {
        guesses += 1;
    }
    assert!(guesses >= 60, "{guesses}");
    eventually("asked again", async || guess().await == 401).await;
}

#[tokio::test]
async fn a_page_of_another_origin_can_read_why_it_was_refused() {
    let database = database().await;
    let server = server(&database, |options| {
        options.rate_limit = at_most(1);
        options.cors_origins = vec!["https://sim.example.com".to_owned()];
    });
    let ask = |method| answer(server.request(method, STATUS).header("origin", "https://sim.example.com"));
    ask(Method::GET).await.expect(200);
    let limited = ask(Method::GET).await;
    assert_limited(&limited, 1);
    assert_eq!(limited.header("access-control-allow-origin"), "https://sim.example.com");
    let exposed = limited.header("access-control-expose-headers").to_lowercase();
    for name in ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let preflight = server.request(Method::OPTIONS, STATUS).header("origin", "https://sim.example.com");
    assert_eq!(answer(preflight.header("access-control-request-method", "GET")).await.status, 200);
}

/// Remembers on whose behalf it is asked.
#[derive(Default)]
struct Clients(Mutex<Vec<Option<IpAddr>>>);

impl Source for Clients {
    fn label(&self) -> &'static str {
        "clients"
    }

    fn session<'a>(&'a self, token: SessionToken<'a>) -> Told<'a, Identity> {
        self.0.lock().unwrap().push(token.client);
        Box::pin(async { Err(Reason::UnknownSession.into()) })
    }
}

#[tokio::test]
async fn the_source_is_told_the_clients_address_and_not_the_proxys() {
    let database = database().await;
    let mut options = Options::new(&database);
    options.trusted_proxies = "10.0.0.0/8".parse().unwrap();
    let (state, _) = options.state();
    let clients = Arc::new(Clients::default());
    let bridge = AuthBridge::new(&parlant_auth_bridge::Config::default(), Arc::clone(&clients) as Arc<dyn Source>);
    let state = State { auth: bridge.unwrap(), ..state };
    let app = init_service(app(&state, &[])).await;
    for (peer, expected) in [("10.0.0.1:1", "198.51.100.1"), ("203.0.113.1:1", "203.0.113.1")] {
        let from = |request: TestRequest| {
            let request = request.peer_addr(peer.parse().unwrap());
            request.insert_header(("x-forwarded-for", "192.0.2.1, 198.51.100.1")).to_request()
        };
        let me = TestRequest::get().uri(ME).insert_header(("authorization", format!("Bearer {}", invented())));
        let answer = call_service(&app, from(me)).await;
        assert_eq!(answer.status(), 401);
        assert!(!answer.headers().contains_key("x-ratelimit-limit"), "there is no limit");
        let validate = TestRequest::post().uri("/api/v1/auth/validate").set_json(json!({ "token": invented() }));
        assert_eq!(call_service(&app, from(validate)).await.status(), 200);
        let told = std::mem::take(&mut *clients.0.lock().unwrap());
        assert_eq!(told, [Some(expected.parse().unwrap()); 2]);
    }
}
