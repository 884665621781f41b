//! How a request is let in or turned away, by actix-web's face and by tower's: the same for both.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parlant_auth_bridge::{Answer, AuthBridge, Cause, Config, Identity, Reason, SessionToken, Source};

use crate::memory::{identity, in_an_hour};

/// What a test looks at: the status, the header that goes with it, and the body.
type Seen = (u16, Option<String>, String);
type Headers = Vec<(&'static str, &'static str)>;

/// Knows everybody whose token begins with "good", by the address that they come from.
struct Porter;

impl Source for Porter {
    fn label(&self) -> &'static str {
        "porter"
    }

    fn session<'a>(&'a self, token: SessionToken<'a>) -> Answer<'a, Identity> {
        Box::pin(async move {
            match token.token {
                "busy" => Err(Cause::new("canary").as_answer().with_retry_after(Duration::from_millis(6100)).into()),
                "down" => Err(Cause::new("canary").as_answer().into()),
                good if good.starts_with("good") => {
                    let client = token.client.map_or_else(|| "nowhere".to_owned(), |client| client.to_string());
                    Ok(identity(&client, in_an_hour()))
                }
                _ => Err(Reason::UnknownSession.into()),
            }
        })
    }
}

fn bridge() -> AuthBridge {
    AuthBridge::new(&Config { caching: false, ..Config::default() }, Arc::new(Porter)).unwrap()
}

const NOTED: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

const COOKIE: &str = "better-auth.session_token=good.pt9G2nm%2FsR%2Fp82anLDE%2FNLrYo0m1ueDKhFcakLU7hI8%3D";

/// The path, the headers, and what is to be seen.
fn table() -> Vec<(&'static str, Headers, Seen)> {
    let challenge = |value: &str| Some(value.to_owned());
    let missing = || (401, challenge("Bearer"), "Authentication required".to_owned());
    let refused = || (401, challenge("Bearer error=\"invalid_token\""), "Invalid or expired session token".to_owned());
    let down = |wait: &str| (503, challenge(wait), "Authentication is out of reach; try again".to_owned());
    let welcome = |who: &str| (200, None, who.to_owned());
    let bearer = |token| vec![("authorization", token)];
    vec![
        ("/must", vec![], missing()),
        ("/may", vec![], welcome("a stranger")),
        ("/guarded", vec![], missing()),
        ("/must", bearer("Basic Z29vZDpnb29k"), missing()),
        ("/may", bearer("Basic Z29vZDpnb29k"), welcome("a stranger")),
        ("/must", bearer("Bearer bad"), refused()),
        ("/may", bearer("Bearer bad"), refused()),
        ("/guarded", bearer("Bearer bad"), refused()),
        ("/may", bearer("Bearer not a token"), refused()),
        ("/may", vec![("authorization", "Bearer good"), ("authorization", "Bearer good")], refused()),
        ("/may", vec![("cookie", "better-auth.session_token=good")], refused()),
        ("/must", bearer("Bearer down"), down("2")),
        ("/may", bearer("Bearer down"), down("2")),
        ("/guarded", bearer("Bearer down"), down("2")),
        ("/may", bearer("Bearer busy"), down("7")),
        ("/must", bearer("Bearer good"), welcome("noted")),
        ("/may", bearer("bearer good"), welcome("noted")),
        ("/guarded", bearer("Bearer good"), welcome("noted")),
        ("/must", vec![("cookie", COOKIE)], welcome("noted")),
    ]
}

#[cfg(feature = "actix")]
mod actix {
    use std::net::{IpAddr, Ipv4Addr};

    use actix_web::body::to_bytes;
    use actix_web::dev::Service as _;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::{App, HttpMessage as _, web};
    use parlant_auth_bridge::ClientAddress;
    use parlant_auth_bridge::actix::{Authenticated, MaybeAuthenticated, require};

    use super::{NOTED, Seen, bridge, table};

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

    async fn must(caller: Authenticated) -> String {
        caller.user.id.clone()
    }

    async fn may(MaybeAuthenticated(caller): MaybeAuthenticated) -> String {
        caller.map_or_else(|| "a stranger".to_owned(), |caller| caller.user.id.clone())
    }

    async fn see(configured: bool, request: TestRequest, noted: Option<IpAddr>) -> Seen {
        let mut app = App::new()
            .route("/must", web::get().to(must))
            .route("/may", web::get().to(may))
            .service(web::scope("/guarded").wrap(from_fn(require)).route("", web::get().to(must)));
        if configured {
            app = app.app_data(bridge());
        }
        let app = init_service(app).await;
        let request = request.to_request();
        if let Some(noted) = noted {
            request.extensions_mut().insert(ClientAddress(noted));
        }
        let answer = match app.call(request).await {
            Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
            Err(error) => error.error_response(),
        };
        let header = ["www-authenticate", "retry-after"].iter().find_map(|name| answer.headers().get(*name));
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body()).await.ok().unwrap();
        (status, header, String::from_utf8(body.to_vec()).unwrap())
    }

    #[actix_web::test]
    async fn actix_web_tells_the_three_answers_apart() {
        for (path, headers, (status, header, body)) in table() {
            for noted in [Some(NOTED), None] {
                let mut request = TestRequest::get().uri(path).peer_addr((PEER, 1).into());
                for header in &headers {
                    request = request.append_header(*header);
                }
                let client = noted.unwrap_or(PEER).to_string();
                let expected = (status, header.clone(), body.replace("noted", &client));
                assert_eq!(see(true, request, noted).await, expected, "{path} {headers:?}");
            }
        }
    }

    #[actix_web::test]
    async fn actix_web_lets_nobody_in_without_a_bridge() {
        for path in ["/must", "/may", "/guarded"] {
            let request = TestRequest::get().uri(path).append_header(("authorization", "Bearer good"));
            assert_eq!(see(false, request, None).await.0, 500, "{path}");
        }
    }
}

#[cfg(feature = "tower")]
mod tower {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use http::{Request, Response};
    use parlant_auth_bridge::ClientAddress;
    use parlant_auth_bridge::tower::{AuthLayer, Authenticated};
    use tower_layer::Layer as _;
    use tower_service::Service;

    use super::{NOTED, Seen, bridge, table};

    async fn must(caller: Authenticated) -> String {
        caller.user.id.clone()
    }

    async fn may(caller: Option<Authenticated>) -> String {
        caller.map_or_else(|| "a stranger".to_owned(), |caller| caller.user.id.clone())
    }

    fn open() -> Router {
        Router::new().route("/must", get(must)).route("/may", get(may))
    }

    async fn see(mut app: Router, request: Request<Body>) -> Seen {
        let answer = app.call(request).await.unwrap();
        let header = ["www-authenticate", "retry-after"].iter().find_map(|name| answer.headers().get(*name));
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1000).await.unwrap();
        (status, header, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn axum_tells_the_three_answers_apart() {
        let guarded = Router::new().route("/guarded", get(must)).layer(AuthLayer::new(bridge()).required());
        let app = open().layer(AuthLayer::new(bridge())).merge(guarded);
        for (path, headers, (status, header, body)) in table() {
            for noted in [true, false] {
                let mut request = Request::get(path);
                for (name, value) in &headers {
                    request = request.header(*name, *value);
                }
                if noted {
                    request = request.extension(ClientAddress(NOTED));
                }
                let client = if noted { NOTED.to_string() } else { "nowhere".to_owned() };
                let expected = (status, header.clone(), body.replace("noted", &client));
                let seen = see(app.clone(), request.body(Body::empty()).unwrap()).await;
                assert_eq!(seen, expected, "{path} {headers:?}");
            }
        }
    }

    #[tokio::test]
    async fn axum_lets_nobody_in_without_a_layer() {
        for path in ["/must", "/may"] {
            let request = Request::get(path).header("authorization", "Bearer good").body(Body::empty()).unwrap();
            assert_eq!(see(open(), request).await.0, 500, "{path}");
        }
    }

    /// Not axum's: its bodies are strings, and it serves one request for each time that it was ready.
    #[derive(Default)]
    struct Plain {
        ready: bool,
    }

    impl Clone for Plain {
        fn clone(&self) -> Self {
            Self::default()
        }
    }

    impl Service<Request<()>> for Plain {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.ready = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            assert!(self.ready, "the one that was asked is the one to call");
            ready(Ok(Response::new("served".to_owned())))
        }
    }

    #[tokio::test]
    async fn any_service_can_be_guarded() {
        let mut guarded = AuthLayer::new(bridge()).required().layer(Plain::default());
        for (token, status, body) in
            [("good", 200, "served"), ("bad", 401, "Invalid or expired session token"), ("good", 200, "served")]
        {
            std::future::poll_fn(|context| guarded.poll_ready(context)).await.unwrap();
            let request = Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
            let answer = guarded.call(request).await.unwrap();
            assert_eq!((answer.status().as_u16(), answer.body().as_str()), (status, body));
        }
    }
}
