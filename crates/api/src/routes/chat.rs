use std::net::IpAddr;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use parlant_auth_bridge::Carrier;
use parlant_settings::{ExposeSecret, Secret};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::page::page;
use crate::Endpoint;

/// What the page at `/` needs, on which somebody who tries the product out talks to an agent. It signs in whoever opens
/// it on this machine: for `dev` alone.
#[derive(Debug, Clone)]
pub struct Chat {
    /// The session that the page signs in with, signed as Better Auth does (`token.signature`).
    pub token: Secret,
}

pub(crate) fn mount(config: &mut ServiceConfig, chat: &Chat) {
    config.app_data(Data::new(chat.clone()));
    Endpoint::new("/").get(open).mount(config);
}

async fn open(request: HttpRequest, chat: Data<Chat>) -> HttpResponse {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (name, port) = name_and_port(host);
    let here = request.app_config().local_addr().ip();
    // Cookies know no ports: on `localhost` this one would take the place of a Sim's that runs there.
    if name.eq_ignore_ascii_case("localhost") && here.is_loopback() && here.is_ipv4() {
        let location = format!("http://{here}{port}/");
        return HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, location)).finish();
    }
    let mut response = page(include_str!("../../assets/chat.html"));
    let near = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    // A name that others gave this machine makes the page theirs, and a proxy speaks for anybody.
    if near && is_loopback(name) && !is_forwarded(request.headers()) {
        let token = utf8_percent_encode(chat.token.expose_secret(), NON_ALPHANUMERIC);
        let name = Carrier::Cookie.cookie_name().unwrap_or_default();
        let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict");
        // It is ASCII without control characters.
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }
    response
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    let names = headers.keys().map(HeaderName::as_str);
    names.into_iter().any(|name| matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-"))
}

/// The two parts of a `Host` header; the port keeps its colon.
fn name_and_port(host: &str) -> (&str, &str) {
    let port = host.rfind(':').filter(|&colon| host[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()));
    host.split_at(port.unwrap_or(host.len()))
}

fn is_loopback(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_give_are_this_machine() {
        for host in ["127.0.0.1:8001", "127.0.0.1", "127.1.2.3:1", "[::1]:8001", "[::1]", "localhost:80", "LocalHost"] {
            assert!(is_loopback(name_and_port(host).0), "{host}");
        }
        for host in [
            "",
            ":8001",
            "evil.example:8001",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8001",
            "localhost:8001.evil.example",
            "user@127.0.0.1:8001",
            "192.168.0.1:8001",
            "[fe80::1]:8001",
            "0.0.0.0:8001",
        ] {
            assert!(!is_loopback(name_and_port(host).0), "{host}");
        }
        assert_eq!(name_and_port("[::1]"), ("[::1]", ""));
        assert_eq!(name_and_port("localhost:8001"), ("localhost", ":8001"));
    }
}
